//! The calls that tarsops makes, typed: AdminRegObj and tarspatch's PatchObj.
//!
//! Signatures are those of TarsProtocol `framework/AdminReg.tars` and `framework/Patch.tars`. What is known to lie is handled here, so that no caller has to remember:
//! every call about a node carries the context without which AdminRegistry never answers for a node
//! that is not connected, and the words of a ping count rather than its bool.

use std::time::Duration;

use tarsops_transport::rpc::{Call, CallError, RpcClient};
use tarsops_wire::codec::{Decode, Pairs};
use tarsops_wire::interface::{
    ADMIN, FileContent, PATCH, PING_SUCCEEDED, ServerStateDesc, TaskReq, TaskRsp, field, forward,
    texts,
};
use tarsops_wire::packet::Response;
use tarsops_wire::{Encode, WireError, Writer};

/// A servant behind a client.
struct Servant<'a> {
    client: &'a RpcClient,
    name: &'static str,
    deadline: Duration,
}

impl Servant<'_> {
    async fn call(
        &self,
        function: &str,
        arguments: Vec<u8>,
        repeatable: bool,
    ) -> Result<Response, CallError> {
        self.client
            .call(&Call {
                servant: self.name,
                function,
                arguments,
                context: forward(),
                deadline: self.deadline,
                repeatable,
            })
            .await
    }

    /// A field of an answer. One that is not there is no default: an answer without a result must
    /// not mean success, nor one without a list that there is nothing.
    fn get<T: Decode>(&self, function: &str, answer: &Response, tag: u8) -> Result<T, CallError> {
        let name = "of the answer";
        field(answer, tag)
            .and_then(|found| found.ok_or(WireError::Missing { tag, name }))
            .map_err(|why| CallError::Garbled {
                at: self.client.address().to_string(),
                function: function.to_owned(),
                why,
            })
    }

    /// Refuses an answer whose returned value is not `good`; its words stand under `words`.
    fn expect(
        &self,
        function: &str,
        answer: &Response,
        good: i32,
        words: u8,
    ) -> Result<(), CallError> {
        let code: i32 = self.get(function, answer, 0)?;
        if code == good {
            return Ok(());
        }
        let text = if words == 0 {
            String::new()
        } else {
            // Without its words a no is still a no.
            self.get(function, answer, words).unwrap_or_default()
        };
        Err(CallError::Answered {
            function: function.to_owned(),
            code,
            text,
        })
    }
}

/// `tars.tarsAdminRegistry.AdminRegObj`.
pub struct Admin<'a>(Servant<'a>);

/// The arguments that name a server on a node.
fn server(application: &str, name: &str, node: &str) -> Vec<u8> {
    texts(&[application, name, node])
}

fn write(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    fill(&mut writer);
    writer.finish()
}

impl<'a> Admin<'a> {
    /// Calls through `client`, each within `deadline`.
    #[must_use]
    pub const fn new(client: &'a RpcClient, deadline: Duration) -> Self {
        Self(Servant {
            client,
            name: ADMIN,
            deadline,
        })
    }

    /// The framework version of AdminRegistry itself (`getVersion`).
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn version(&self) -> Result<String, CallError> {
        let name = "getVersion";
        let answer = self.0.call(name, Vec::new(), true).await?;
        self.0.expect(name, &answer, 0, 0)?;
        self.0.get(name, &answer, 1)
    }

    /// Nodes that the database has. With the database down the list is empty and no error is
    /// told, so an empty list proves nothing.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn all_node_names(&self) -> Result<Vec<String>, CallError> {
        let name = "getAllNodeNames";
        let answer = self.0.call(name, Vec::new(), true).await?;
        self.0.get(name, &answer, 0)
    }

    /// Whether the node is connected and answers. The bool of the call lies; its words do not.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn ping_node(&self, node: &str) -> Result<bool, CallError> {
        let name = "pingNode";
        let answer = self.0.call(name, texts(&[node]), true).await?;
        let words: String = self.0.get(name, &answer, 2)?;
        Ok(words == PING_SUCCEEDED)
    }

    /// The last sign of life on the long connection of each node, as this AdminRegistry's clock has
    /// it; an empty text for a node that is not connected.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn node_list(&self, nodes: &[String]) -> Result<Pairs<String, String>, CallError> {
        let name = "getNodeList";
        let arguments = write(|w| nodes.to_vec().encode(w, 1));
        let answer = self.0.call(name, arguments, true).await?;
        self.0.expect(name, &answer, 0, 0)?;
        self.0.get(name, &answer, 2)
    }

    /// What the database and the node say of a server.
    ///
    /// # Errors
    /// A [`CallError`]; 1012 for a node that is not connected.
    pub async fn server_state(
        &self,
        application: &str,
        name: &str,
        node: &str,
    ) -> Result<ServerStateDesc, CallError> {
        let function = "getServerState";
        let arguments = server(application, name, node);
        let answer = self.0.call(function, arguments, true).await?;
        self.0.expect(function, &answer, 0, 5)?;
        self.0.get(function, &answer, 4)
    }

    /// Tells a running server something, and what it says to that.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn notify(
        &self,
        application: &str,
        name: &str,
        node: &str,
        command: &str,
    ) -> Result<String, CallError> {
        let function = "notifyServer";
        let arguments = texts(&[application, name, node, command]);
        let answer = self.0.call(function, arguments, false).await?;
        self.0.expect(function, &answer, 0, 5)?;
        self.0.get(function, &answer, 5)
    }

    /// The TarsCpp version of a running server: the only remote truth for each process.
    ///
    /// # Errors
    /// A [`CallError`]; also where no version can be found in what it said.
    pub async fn library_version(
        &self,
        application: &str,
        name: &str,
        node: &str,
    ) -> Result<String, CallError> {
        let said = self
            .notify(application, name, node, "tars.viewversion")
            .await?;
        version_in(&said).ok_or_else(|| CallError::Answered {
            function: "notifyServer".to_owned(),
            code: 0,
            text: format!("no version in {said:?}"),
        })
    }

    /// Begins a task; what becomes of it is told by [`Admin::task`].
    ///
    /// # Errors
    /// A [`CallError`]. It may be carried out all the same.
    pub async fn add_task(&self, task: &TaskReq) -> Result<(), CallError> {
        let name = "addTaskReq";
        let answer = self
            .0
            .call(name, write(|w| task.encode(w, 1)), false)
            .await?;
        self.0.expect(name, &answer, 0, 0)
    }

    /// How a task stands.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn task(&self, number: &str) -> Result<TaskRsp, CallError> {
        let name = "getTaskRsp";
        let answer = self.0.call(name, texts(&[number]), true).await?;
        self.0.expect(name, &answer, 0, 0)?;
        self.0.get(name, &answer, 2)
    }

    async fn command(
        &self,
        function: &str,
        application: &str,
        name: &str,
        node: &str,
    ) -> Result<(), CallError> {
        let arguments = server(application, name, node);
        let answer = self.0.call(function, arguments, false).await?;
        self.0.expect(function, &answer, 0, 4)
    }

    /// Starts a server and sets it active.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn start_server(
        &self,
        application: &str,
        name: &str,
        node: &str,
    ) -> Result<(), CallError> {
        self.command("startServer", application, name, node).await
    }

    /// Stops a server and sets it inactive, so that it stays down.
    ///
    /// # Errors
    /// A [`CallError`]; a stop that failed has set it inactive all the same.
    pub async fn stop_server(
        &self,
        application: &str,
        name: &str,
        node: &str,
    ) -> Result<(), CallError> {
        self.command("stopServer", application, name, node).await
    }

    /// Restarts a server. It races with itself (1003 in most tries): stop, wait and start are surer.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn restart_server(
        &self,
        application: &str,
        name: &str,
        node: &str,
    ) -> Result<(), CallError> {
        self.command("restartServer", application, name, node).await
    }

    /// Has the node write a server's configuration again.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn load_server(
        &self,
        application: &str,
        name: &str,
        node: &str,
    ) -> Result<(), CallError> {
        self.command("loadServer", application, name, node).await
    }
}

/// What `upload` returns where a file of that name and MD5 is there.
const THERE: i32 = 1;
/// What `upload` returns where the file that it has put together has another MD5.
const OTHER_MD5: i32 = -3;

/// `tars.tarspatch.PatchObj`: packages on their way to nodes.
pub struct Patch<'a>(Servant<'a>);

impl<'a> Patch<'a> {
    /// Calls through `client`, each within `deadline`.
    #[must_use]
    pub const fn new(client: &'a RpcClient, deadline: Duration) -> Self {
        Self(Servant {
            client,
            name: PATCH,
            deadline,
        })
    }

    /// Uploads one part of a file; whether tarspatch has it already, so that no more is sent. Parts
    /// come in their order and one file at a time (`PatchServer/PatchImp.cpp`, `upload`).
    ///
    /// # Errors
    /// A [`CallError`]; a file that arrived with another MD5 is one.
    pub async fn upload(
        &self,
        application: &str,
        server: &str,
        part: &FileContent,
    ) -> Result<bool, CallError> {
        let name = "upload";
        let arguments = write(|w| {
            application.encode(w, 1);
            server.encode(w, 2);
            part.encode(w, 3);
        });
        let answer = self.0.call(name, arguments, false).await?;
        match self.0.get(name, &answer, 0)? {
            0 => Ok(false),
            THERE => Ok(true),
            code => Err(CallError::Answered {
                function: name.to_owned(),
                code,
                text: match code {
                    OTHER_MD5 => "the file arrived with another MD5".to_owned(),
                    _ => "it could not be written".to_owned(),
                },
            }),
        }
    }

    /// Has tarspatch lay a package ready for nodes, as AdminRegistry does first for each publication;
    /// it fails where tarspatch does not find the file.
    ///
    /// # Errors
    /// A [`CallError`] with tarspatch's words.
    pub async fn prepare(
        &self,
        application: &str,
        server: &str,
        file: &str,
    ) -> Result<(), CallError> {
        let name = "preparePatchFile";
        let arguments = texts(&[application, server, file]);
        let answer = self.0.call(name, arguments, true).await?;
        self.0.expect(name, &answer, 0, 4)
    }
}

/// `…[1]:$3.0.20$…` → `3.0.20`.
fn version_in(said: &str) -> Option<String> {
    let (_, rest) = said.split_once('$')?;
    let (version, _) = rest.split_once('$')?;
    (!version.is_empty()).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_stands_between_dollars() {
        let said = "succ:[notify prefix object num:1]\n[1]:$3.0.20$\n";
        assert_eq!(version_in(said).as_deref(), Some("3.0.20"));
        assert_eq!(version_in("failed: not active"), None);
        assert_eq!(version_in("$$"), None);
    }
}
