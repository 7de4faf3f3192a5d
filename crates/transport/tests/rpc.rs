//! The client against servers that behave as badly as a network lets them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::server::{Server, in_time};
use support::{forward, through};
use tarsops_model::names::Endpoint;
use tarsops_transport::rpc::{Call, CallError, Route, RpcClient};
use tarsops_wire::codec::Pairs;
use tarsops_wire::interface::NODE;
use tarsops_wire::packet::{Response, code};
use tokio::io::AsyncReadExt as _;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

fn call(function: &str, deadline: Duration) -> Call<'_> {
    Call {
        servant: NODE,
        function,
        arguments: Vec::new(),
        context: Pairs::default(),
        deadline,
        repeatable: false,
    }
}

fn client(at: &Endpoint) -> RpcClient {
    RpcClient::new(at.clone(), Route::Direct)
}

/// Nobody listens there, and nobody will in the next moments.
async fn nobody() -> Endpoint {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    Endpoint::at(at.ip(), at.port())
}

#[tokio::test]
async fn a_refused_connection_is_proof_and_says_where() {
    let at = nobody().await;
    let error = client(&at).ping(NODE, LONG).await.unwrap_err();
    assert_eq!(error, CallError::Refused { at: at.to_string() });
    assert!(error.is_proof_of_absence());
    assert_eq!(error.to_string(), format!("{at} refuses connections"));
}

#[tokio::test]
async fn a_server_that_takes_calls_and_says_nothing_is_no_answer_in_time() {
    let server = Server::start(|_, peer| peer.stay()).await;
    let began = Instant::now();
    let error = in_time(10 * SHORT, client(&server.at).ping(NODE, SHORT)).await;
    let error = error.unwrap_err();
    assert!(began.elapsed() >= SHORT);
    assert!(
        matches!(&error, CallError::NoAnswer { connected: true, function, .. } if function == "tars_ping"),
        "{error:?}"
    );
    assert!(!error.is_proof_of_absence());
    assert!(
        error
            .to_string()
            .contains("gave no answer to tars_ping within 0.3 s")
    );
}

#[tokio::test]
async fn a_port_that_never_accepts_is_no_answer_without_a_connection() {
    // A full queue of connections: what comes after it is not even refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let at = socket.local_addr().unwrap();
    let _listener = socket.listen(1).unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(SHORT, tokio::net::TcpStream::connect(at)).await
    {
        held.push(stream);
    }
    let error = client(&Endpoint::at(at.ip(), at.port()))
        .ping(NODE, SHORT)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            CallError::NoAnswer {
                connected: false,
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn one_silent_call_leaves_the_others_alone() {
    let server = Server::answering(|request| {
        (request.function != "silence").then(|| Response::to(request, 0, vec![]))
    })
    .await;
    let client = client(&server.at);
    let silent = call("silence", SHORT);
    let (lost, ()) = tokio::join!(client.call(&silent), async {
        for _ in 0..20 {
            client.call(&call("word", LONG)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    });
    assert!(
        matches!(
            lost,
            Err(CallError::NoAnswer {
                connected: true,
                ..
            })
        ),
        "{lost:?}"
    );
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_thousand_calls_answered_in_reverse_share_one_connection() {
    const CALLS: usize = 1000;
    let server = Server::start(|_, mut peer| async move {
        let mut all = Vec::new();
        while all.len() < CALLS {
            all.push(peer.request().await.unwrap());
        }
        for request in all.iter().rev() {
            peer.answer(request, 0, request.arguments.0.clone()).await;
        }
        peer.stay().await;
    })
    .await;
    let client = client(&server.at);
    let calls = (0..CALLS).map(|i| {
        let client = &client;
        async move {
            let arguments = tarsops_wire::interface::texts(&[&i.to_string()]);
            let answer = client
                .call(&Call {
                    arguments: arguments.clone(),
                    ..call("echo", LONG)
                })
                .await
                .unwrap();
            assert_eq!(answer.body.0, arguments);
        }
    });
    futures::future::join_all(calls).await;
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn each_no_of_the_protocol_is_its_own_error() {
    let server = Server::answering(|request| {
        let ret = request.function.parse().unwrap();
        let mut response = Response::to(request, ret, vec![]);
        response.description = "server is busy".to_owned();
        Some(response)
    })
    .await;
    let client = client(&server.at);
    let said = async |function: &str| client.call(&call(function, LONG)).await.unwrap_err();
    let error = said("-3").await;
    assert!(matches!(error, CallError::UnknownFunction { .. }));
    assert!(!error.is_proof_of_absence());
    assert_eq!(
        error.to_string(),
        format!("{NODE} at {} has no function -3 (result -3)", server.at)
    );
    let error = said("-4").await;
    assert!(matches!(error, CallError::UnknownServant { .. }) && error.is_proof_of_absence());
    assert_eq!(
        error.to_string(),
        format!("{} has no servant {NODE} (result -4)", server.at)
    );
    // Decoding, queue time-out, no memory, server time-out, unknown; and one of the servant's own.
    for ret in [-1, -2, -5, -6, -7, -99, 1012] {
        let error = said(&ret.to_string()).await;
        assert!(!error.is_proof_of_absence());
        assert_eq!(
            error.to_string(),
            format!("{ret} answered with code {ret}: server is busy")
        );
    }
    assert_eq!(code::NO_SERVANT, -4);
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_of_an_answer_is_told_to_all_who_wait() {
    let server = Server::start(|_, mut peer| async move {
        let first = peer.request().await.unwrap();
        peer.request().await.unwrap();
        let frame = Response::to(&first, 0, vec![]).to_frame().unwrap();
        peer.say(&frame[..frame.len() - 3]).await;
    })
    .await;
    let client = client(&server.at);
    let (one, other) = (call("one", LONG), call("other", LONG));
    let (one, other) = tokio::join!(client.call(&one), client.call(&other));
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert!(
            matches!(error, CallError::Disconnected { tunnel: false, .. }),
            "{error:?}"
        );
        assert!(!error.is_proof_of_absence());
    }
}

/// Answers one call on each connection and hangs up at the second. Counts what came.
async fn forgetful() -> (Server, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let server = Server::start(move |_, mut peer| {
        let calls = Arc::clone(&counted);
        async move {
            let request = peer.request().await.unwrap();
            calls.fetch_add(1, Ordering::SeqCst);
            peer.answer(&request, 0, vec![]).await;
            if peer.request().await.is_some() {
                calls.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    (server, calls)
}

#[tokio::test]
async fn only_what_changes_nothing_is_asked_again_on_a_new_connection() {
    let (server, calls) = forgetful().await;
    let asking = client(&server.at);
    asking.ping(NODE, LONG).await.unwrap();
    asking.ping(NODE, LONG).await.unwrap();
    assert_eq!((server.count(), calls.load(Ordering::SeqCst)), (2, 3));

    let (server, calls) = forgetful().await;
    let changing = client(&server.at);
    changing.call(&call("stopServer", LONG)).await.unwrap();
    let lost = changing.call(&call("stopServer", LONG)).await;
    assert!(
        matches!(lost, Err(CallError::Disconnected { .. })),
        "{lost:?}"
    );
    assert_eq!((server.count(), calls.load(Ordering::SeqCst)), (1, 2));
    // The next one is on a new connection.
    changing.call(&call("stopServer", LONG)).await.unwrap();
    assert_eq!((server.count(), calls.load(Ordering::SeqCst)), (2, 3));
}

#[tokio::test]
async fn a_server_that_always_hangs_up_is_not_asked_for_ever() {
    let server = Server::start(|_, mut peer| async move {
        peer.request().await;
    })
    .await;
    let error = client(&server.at).ping(NODE, LONG).await.unwrap_err();
    assert!(matches!(error, CallError::Disconnected { .. }), "{error:?}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let client = client(&Endpoint::at(at.ip(), at.port()));
    drop(listener);
    assert!(matches!(
        client.ping(NODE, LONG).await,
        Err(CallError::Refused { .. })
    ));
    let listener = tokio::net::TcpListener::bind(at).await.unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 4096];
        let n = stream.read(&mut buffer).await.unwrap();
        let request = tarsops_wire::packet::Request::from_frame(&buffer[4..n]).unwrap();
        let frame = Response::to(&request, 0, vec![]).to_frame().unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, &frame)
            .await
            .unwrap();
    });
    client.ping(NODE, LONG).await.unwrap();
    server.await.unwrap();
}

#[tokio::test]
async fn an_answer_larger_than_the_limit_is_refused_by_its_first_bytes() {
    let server = Server::start(|number, mut peer| async move {
        let request = peer.request().await.unwrap();
        if number == 0 {
            // Claims a gibibyte and sends nothing more.
            peer.say(&[0x40, 0, 0, 0]).await;
        } else {
            peer.answer(&request, 0, vec![0; 900]).await;
        }
        peer.stay().await;
    })
    .await;
    let client = client(&server.at).limit(1000);
    let error = client.call(&call("large", LONG)).await.unwrap_err();
    assert!(matches!(error, CallError::Disconnected { .. }), "{error:?}");
    assert!(
        error.to_string().contains("1073741824 bytes is refused"),
        "{error}"
    );
    client.call(&call("fits", LONG)).await.unwrap();
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn garbage_ends_the_connection_with_a_reason() {
    for (bytes, reason) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "is refused"),
        (&[0, 0, 0, 3], "3 bytes is refused"),
        (&[0, 0, 0, 0], "0 bytes is refused"),
        (&[0xff, 0xff, 0xff, 0xff], "is refused"),
        (&[0, 0, 0, 6, 0x0e, 0x0e], "cannot be read"),
        (&[0, 0, 0, 4], "cannot be read"),
    ] {
        let server = Server::start(move |_, mut peer| async move {
            peer.request().await;
            peer.say(bytes).await;
            peer.stay().await;
        })
        .await;
        let error = client(&server.at).ping(NODE, LONG).await.unwrap_err();
        assert!(matches!(error, CallError::Disconnected { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{bytes:?}: {error}");
        assert!(!error.is_proof_of_absence());
    }
}

#[tokio::test]
async fn an_answer_that_is_no_message_costs_its_connection_only() {
    let server = Server::start(|number, mut peer| async move {
        let request = peer.request().await.unwrap();
        if number == 0 {
            peer.say(&[0, 0, 0, 6, 0x0b, 0x0b]).await;
        } else {
            peer.answer(&request, 0, vec![]).await;
        }
        peer.stay().await;
    })
    .await;
    let client = client(&server.at);
    assert!(client.call(&call("one", LONG)).await.is_err());
    client.call(&call("two", LONG)).await.unwrap();
}

#[tokio::test]
async fn answers_that_nobody_waits_for_are_passed_over() {
    let server = Server::start(|_, mut peer| async move {
        let request = peer.request().await.unwrap();
        for id in [0, -1, request.id + 1000, i32::MAX, i32::MIN] {
            // A push has the number 0 and names its function in the status.
            let mut other = Response::to(&request, 0, vec![]);
            other.id = id;
            other.status = Pairs(vec![("TARS_FUNC".into(), "startServer".into())]);
            peer.say(&other.to_frame().unwrap()).await;
        }
        peer.answer(&request, 0, request.arguments.0.clone()).await;
        // Twice: the second has no call any more.
        peer.answer(&request, -4, vec![]).await;
        while let Some(next) = peer.request().await {
            peer.answer(&next, 0, vec![]).await;
        }
    })
    .await;
    let client = client(&server.at);
    client.call(&call("one", LONG)).await.unwrap();
    client.call(&call("two", LONG)).await.unwrap();
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn an_answer_byte_by_byte_is_an_answer() {
    let server = Server::start(|_, mut peer| async move {
        let request = peer.request().await.unwrap();
        let frame = Response::to(&request, 0, vec![0x0c]).to_frame().unwrap();
        for byte in frame {
            peer.say(&[byte]).await;
            tokio::task::yield_now().await;
        }
        peer.stay().await;
    })
    .await;
    let answer = client(&server.at).call(&call("slow", LONG)).await.unwrap();
    assert_eq!(answer.body.0, [0x0c]);
}

#[tokio::test]
async fn callers_that_go_away_leave_nothing_behind() {
    // Late answers to calls that were given up come before the answer to the last one.
    let server = Server::start(|_, mut peer| async move {
        let mut held = Vec::new();
        while let Some(request) = peer.request().await {
            if request.function == "held" {
                held.push(request);
                continue;
            }
            for late in held.drain(..) {
                peer.answer(&late, -4, vec![]).await;
            }
            peer.answer(&request, 0, vec![]).await;
        }
    })
    .await;
    let client = client(&server.at);
    client.call(&call("first", LONG)).await.unwrap();
    for round in 0..3 {
        for _ in 0..100 {
            let held = call("held", LONG);
            let given_up = client.call(&held);
            assert!(
                tokio::time::timeout(Duration::from_millis(1), given_up)
                    .await
                    .is_err()
            );
        }
        assert_eq!(client.waiting(), 0, "round {round}");
        client.call(&call("last", LONG)).await.unwrap();
    }
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_request_that_its_deadline_cut_off_does_not_spoil_the_next_one() {
    // Reads nothing of the first connection, so that the request gets stuck half written.
    let server = Server::start(|number, mut peer| async move {
        if number == 0 {
            tokio::time::sleep(LONG).await;
        }
        while let Some(request) = peer.request().await {
            peer.answer(&request, 0, request.arguments.0.clone()).await;
        }
    })
    .await;
    let client = client(&server.at);
    let large = Call {
        arguments: tarsops_wire::interface::texts(&[&"x".repeat(24 << 20)]),
        ..call("large", SHORT)
    };
    let error = in_time(LONG / 2, client.call(&large)).await.unwrap_err();
    assert!(matches!(error, CallError::NoAnswer { .. }), "{error:?}");
    let arguments = tarsops_wire::interface::texts(&["small"]);
    let small = Call {
        arguments: arguments.clone(),
        ..call("small", LONG)
    };
    assert_eq!(client.call(&small).await.unwrap().body.0, arguments);
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn the_request_says_how_long_its_caller_waits() {
    let server = Server::answering(|request| {
        assert_eq!(request.timeout, 20_000);
        assert!(request.id > 0);
        Some(Response::to(request, 0, vec![]))
    })
    .await;
    client(&server.at).ping(NODE, LONG).await.unwrap();
}

#[tokio::test]
async fn a_call_goes_through_a_tunnel() {
    let server = Server::answering(|request| Some(Response::to(request, 0, vec![]))).await;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let tunnel = forward(&socket, server.at.clone());
    let client = RpcClient::new(server.at.clone(), through(socket));
    client.ping(NODE, LONG).await.unwrap();
    client.ping(NODE, LONG).await.unwrap();
    assert_eq!(server.count(), 1);
    tunnel.abort();
}

#[tokio::test]
async fn through_a_tunnel_nothing_is_proof_of_absence() {
    let at = nobody().await;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    // SSH accepts for the other end and hangs up when nobody is there.
    let tunnel = forward(&socket, at.clone());
    let error = RpcClient::new(at.clone(), through(socket.clone()))
        .ping(NODE, LONG)
        .await
        .unwrap_err();
    assert!(
        matches!(error, CallError::Disconnected { tunnel: true, .. }),
        "{error:?}"
    );
    assert!(!error.is_proof_of_absence());
    tunnel.abort();
    let _ = tunnel.await;
    // The SSH connection died: its socket is there and refuses.
    let error = RpcClient::new(at.clone(), through(socket))
        .ping(NODE, LONG)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
    assert!(!error.is_proof_of_absence());
    // No SSH connection could be made.
    let error = RpcClient::new(at, through(std::path::PathBuf::new()))
        .ping(NODE, LONG)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, CallError::Unreachable { why, .. } if why == "10.77.0.1: the host does not answer"),
        "{error:?}"
    );
}

#[tokio::test]
async fn silence_through_a_tunnel_says_nothing_of_the_servant() {
    let server = Server::start(|_, peer| peer.stay()).await;
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let tunnel = forward(&socket, server.at.clone());
    let error = RpcClient::new(server.at.clone(), through(socket))
        .ping(NODE, SHORT)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            CallError::NoAnswer {
                connected: false,
                ..
            }
        ),
        "{error:?}"
    );
    tunnel.abort();
}

#[tokio::test]
async fn dropping_the_client_ends_its_connection() {
    let (tell, mut told) = tokio::sync::mpsc::channel::<()>(1);
    let server = Server::start(move |_, mut peer| {
        let tell = tell.clone();
        async move {
            while let Some(request) = peer.request().await {
                peer.answer(&request, 0, vec![]).await;
            }
            let _ = tell.send(()).await;
        }
    })
    .await;
    let client = client(&server.at);
    client.ping(NODE, LONG).await.unwrap();
    drop(client);
    tokio::time::timeout(LONG, told.recv())
        .await
        .unwrap()
        .unwrap();
}
