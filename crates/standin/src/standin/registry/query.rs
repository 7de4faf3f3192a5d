//! QueryObj: who serves what (TarsProtocol `servant/QueryF.tars`, TarsFramework
//! `RegistryServer/QueryImp.cpp`). Groups, stations and sets are not in use here: everybody is in none.

use std::sync::Arc;

use tarsops_wire::packet::Request;

use super::super::net::{Arguments, Caller, Outcome, Reply, Servant, body};
use super::objects::Places;
use super::shared::Registry;

pub(super) struct QueryObj(pub(super) Arc<Registry>);

/// The return value and the two lists, the first of them with this tag.
fn lists(ret: i32, first: u8, places: &Places) -> Reply {
    Reply::Body(body(|w| {
        w.put(0, &ret);
        w.put(first, &places.active);
        w.put(first + 1, &places.inactive);
    }))
}

impl Servant for QueryObj {
    fn call(&self, _caller: &Caller, request: &Request) -> Outcome {
        let mut arguments = Arguments::of(request)?;
        let find = |id: &str| self.0.objects().find(id);
        Ok(match request.function.as_str() {
            "findObjectById" => {
                let id: String = arguments.get(1)?;
                Reply::Body(body(|w| w.put(0, &find(&id).active)))
            }
            "findObjectById4Any" | "findObjectById4All" | "findObjectByIdInSameGroup" => {
                let id: String = arguments.get(1)?;
                lists(0, 2, &find(&id))
            }
            // Nobody has told where which group is.
            "findObjectByIdInSameStation" => lists(-1, 3, &Places::default()),
            "findObjectByIdInSameSet" => {
                let (id, set): (String, String) = (arguments.get(1)?, arguments.get(2)?);
                let parts: Vec<&str> = set.split('.').collect();
                let whole =
                    matches!(parts.as_slice(), [name, area, _] if *name != "*" && *area != "*");
                // A server in no set is found by anybody.
                match whole {
                    true => lists(0, 3, &find(&id)),
                    false => lists(-1, 3, &Places::default()),
                }
            }
            _ => Reply::NoFunction,
        })
    }
}
