//! Publishing through the management platform.

use std::path::Path;

use tarsops_model::component::Component;
use tarsops_model::names::NodeName;
use tarsops_transport::console::{Command, TaskForm, TaskFormItem, Upload};

use super::{Publisher, USER, surely};
use crate::common::APPLICATION;
use crate::publish::{Fault, Package};

impl Publisher<'_> {
    pub(super) async fn upload(
        &self,
        component: Component,
        archive: &Path,
        comment: String,
    ) -> Result<Package, Fault> {
        let upload = Upload {
            application: APPLICATION.to_owned(),
            module_name: component.name().to_owned(),
            comment,
            path: archive.to_path_buf(),
        };
        let console = self.client.console().map_err(surely)?;
        // A package that nobody publishes does no harm, so none of its failures leaves a doubt.
        let uploaded = console
            .upload_patch_package(&upload)
            .await
            .map_err(|e| surely(format!("the platform does not take the package: {e}")))?;
        Ok(Package {
            id: uploaded.id,
            tgz: uploaded.tgz,
        })
    }

    pub(super) async fn begin_at_console(
        &self,
        node: &NodeName,
        component: Component,
        package: &Package,
    ) -> Result<String, Fault> {
        let console = self.client.console().map_err(surely)?;
        let rows = console
            .server_nodes(APPLICATION, component.name())
            .await
            .map_err(|e| surely(e.to_string()))?;
        let row = rows
            .into_iter()
            .find(|r| r.node_name == node.as_str())
            .ok_or_else(|| {
                surely(format!(
                    "the management platform has no {component} on {node}"
                ))
            })?;
        let form = TaskForm {
            serial: true,
            elegant: false,
            eachnum: 1,
            items: vec![TaskFormItem {
                server_id: row.id,
                command: Command::Patch {
                    patch_id: package.id,
                    update_text: USER.to_owned(),
                },
            }],
        };
        console.add_task(&form).await.map_err(|e| Fault {
            nothing_happened: e.is_sure_that_nothing_happened(),
            text: e.to_string(),
        })
    }
}
