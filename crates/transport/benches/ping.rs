//! 1,000 `tars_ping` over loopback, beside a bare TCP echo of the same bytes. Ends with 1 where the
//! calls take more than twice as long.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::time::{Duration, Instant};

use tarsops_model::names::Endpoint;
use tarsops_transport::rpc::{Route, RpcClient};
use tarsops_wire::packet::{Request, Response, take_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CALLS: usize = 1000;
const SERVANT: &str = "tars.tarsnode.ServerObj";

/// Answers every frame; as itself, or as the answer to a call.
async fn serve(listener: TcpListener, echo: bool) {
    while let Ok((mut stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut buffer = Vec::new();
            loop {
                while let Ok(Some((frame, rest))) = take_frame(&buffer, 1 << 20) {
                    let out = if echo {
                        buffer[..buffer.len() - rest.len()].to_vec()
                    } else {
                        let request = Request::from_frame(frame).unwrap();
                        Response::to(&request, 0, vec![]).to_frame().unwrap()
                    };
                    let rest = rest.to_vec();
                    if stream.write_all(&out).await.is_err() {
                        return;
                    }
                    buffer = rest;
                }
                if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                    return;
                }
            }
        });
    }
}

async fn start(echo: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // A server of its own: it must not share a thread with the client.
    std::thread::spawn(move || {
        let std = listener.into_std().unwrap();
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async { serve(TcpListener::from_std(std).unwrap(), echo).await });
    });
    port
}

async fn echo_once(stream: &mut TcpStream, frame: &[u8]) {
    stream.write_all(frame).await.unwrap();
    let mut back = vec![0; frame.len()];
    stream.read_exact(&mut back).await.unwrap();
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (echo, real) = (start(true).await, start(false).await);
    let frame = Request::new(1, SERVANT, "tars_ping", vec![])
        .to_frame()
        .unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", echo)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let at: Endpoint = format!("127.0.0.1:{real}").parse().unwrap();
    let client = RpcClient::new(at, Route::Direct);
    let wait = Duration::from_secs(5);
    for _ in 0..100 {
        echo_once(&mut stream, &frame).await;
        client.ping(SERVANT, wait).await.unwrap();
    }
    // In turns, so that both see the same machine.
    let (mut bare, mut calls) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..10 {
        let began = Instant::now();
        for _ in 0..CALLS / 10 {
            echo_once(&mut stream, &frame).await;
        }
        bare += began.elapsed();
        let began = Instant::now();
        for _ in 0..CALLS / 10 {
            client.ping(SERVANT, wait).await.unwrap();
        }
        calls += began.elapsed();
    }
    let began = Instant::now();
    futures::future::join_all((0..CALLS).map(|_| client.ping(SERVANT, wait)))
        .await
        .into_iter()
        .for_each(|r| r.unwrap());
    let flight = began.elapsed();
    let ratio = calls.as_secs_f64() / bare.as_secs_f64();
    println!(
        "{CALLS} echoes of {} bytes: {:.1} ms\n{CALLS} tars_ping one by one: {:.1} ms, ratio {ratio:.2}\n{CALLS} tars_ping in flight at once: {:.1} ms",
        frame.len(),
        bare.as_secs_f64() * 1e3,
        calls.as_secs_f64() * 1e3,
        flight.as_secs_f64() * 1e3,
    );
    if ratio > 2.0 {
        std::process::exit(1);
    }
}
