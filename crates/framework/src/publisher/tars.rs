//! Publishing through tarspatch, the database and AdminRegistry themselves.

use std::path::Path;

use tarsops_model::component::Component;
use tarsops_model::names::NodeName;
use tarsops_model::version::Version;
use tarsops_transport::mysql::NewPatch;
use tarsops_transport::rpc::CallError;
use tarsops_wire::Bytes;
use tarsops_wire::codec::Pairs;
use tarsops_wire::interface::{FileContent, TaskItemReq, TaskReq};

use super::{CALL, Publisher, USER, surely};
use crate::calls::{Admin, Patch};
use crate::common::APPLICATION;
use crate::publish::{Fault, Package};

/// Bytes of one part of an upload to tarspatch, as much as its own clients send.
const PART: usize = 1 << 20;

impl Publisher<'_> {
    pub(super) async fn send(
        &self,
        component: Component,
        version: Version,
        archive: &Path,
        md5: String,
        comment: String,
    ) -> Result<Package, Fault> {
        let access = self
            .database()
            .ok_or_else(|| surely("the database cannot be used".to_owned()))?;
        let client = self.client.patch().map_err(surely)?;
        let patch = Patch::new(&client, CALL);
        let bytes = std::fs::read(archive)
            .map_err(|e| surely(format!("the archive of {component} cannot be read: {e}")))?;
        // A name of its own: what another upload left half done is not continued.
        let now = jiff::Timestamp::now().as_millisecond();
        let tgz = format!("{APPLICATION}.{component}_suse_{now}.tgz");
        let mut parts = bytes.chunks(PART).peekable();
        let mut first = true;
        while let Some(content) = parts.next() {
            let part = FileContent {
                md5: md5.clone(),
                name: tgz.clone(),
                first_chunk: first,
                last_chunk: parts.peek().is_none(),
                content: Bytes(content.to_vec()),
            };
            first = false;
            let there = patch
                .upload(APPLICATION, component.name(), &part)
                .await
                .map_err(|e| surely(format!("tarspatch does not take the package: {e}")))?;
            if there {
                break;
            }
        }
        let new = NewPatch {
            component,
            tgz: tgz.clone(),
            md5,
            version: version.to_string(),
            comment,
        };
        let id = access.add_patch(&new, CALL).await.map_err(|e| {
            surely(format!(
                "tarspatch has the package, and its row could not be written: {e}"
            ))
        })?;
        Ok(Package { id, tgz })
    }

    pub(super) async fn begin_at_tars(
        &self,
        node: &NodeName,
        component: Component,
        package: &Package,
    ) -> Result<String, Fault> {
        let client = self.client.admin().map_err(surely)?;
        let number = format!(
            "tarsops{:x}{:x}",
            jiff::Timestamp::now().as_microsecond(),
            package.id
        );
        let parameters = [
            ("patch_id", package.id.to_string()),
            ("bak_flag", "0".to_owned()),
            ("update_text", USER.to_owned()),
        ];
        let parameters: Vec<(String, String)> = parameters
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let item = TaskItemReq {
            task_no: number.clone(),
            item_no: format!("{number}1"),
            application: APPLICATION.to_owned(),
            server_name: component.name().to_owned(),
            node_name: node.to_string(),
            set_name: String::new(),
            command: "patch_tars".to_owned(),
            user_name: USER.to_owned(),
            parameters: Pairs(parameters),
        };
        let task = TaskReq {
            items: vec![item],
            task_no: number.clone(),
            serial: true,
            user_name: USER.to_owned(),
            elegant: false,
            each_num: 1,
        };
        match Admin::new(&client, CALL).add_task(&task).await {
            Ok(()) => Ok(number),
            Err(e @ (CallError::Refused { .. } | CallError::Unreachable { .. })) => {
                Err(surely(e.to_string()))
            }
            // Its number is ours, so it can be asked after whatever was answered.
            Err(e) => {
                tracing::debug!(%node, %component, "addTaskReq: {e}");
                Ok(number)
            }
        }
    }
}
