//! Modules over the wire: uploads are bounded before they are read.

use super::Shared;
use crate::auth::caller;
use crate::convert::modules::{comparison_out, module_out, slot_out, step_out};
use crate::convert::words::id;
use crate::status::{Problems, bad_field, status, too_large};
use tidegate_core::access::{Principal, Role};
use tidegate_core::ids::{BindingId, Digest, TenantId};
use tidegate_core::life::Ground;
use tidegate_core::ports::serve::ServeError;
use tidegate_proto::v1;
use tidegate_proto::v1::policies_server::Policies;
use tidegate_proto::v1::push_module_request::Part;
use tonic::{Request, Response, Status, Streaming};

/// Longest config of a binding, in bytes.
const MAX_CONFIG: usize = 64 << 10;
/// Length of an Ed25519 signature, in bytes.
const SIGNATURE: usize = 64;
/// Room that is made for an upload before its bytes are there: a header alone reserves no more.
const FIRST_ROOM: usize = 1 << 20;

impl Shared {
    /// The header of an upload, and for whom it is; whoever may not push for that tenant sends no
    /// byte.
    async fn header(
        &self,
        caller: &Principal,
        parts: &mut Streaming<v1::PushModuleRequest>,
    ) -> Result<(v1::PushModuleHeader, Option<TenantId>), Status> {
        let first = parts.message().await?.and_then(|m| m.part);
        let Some(Part::Header(header)) = first else {
            return Err(bad_field(
                "header",
                "send it first: the size of the component in bytes",
            ));
        };
        let mut problems = Problems::default();
        let tenant = (!header.tenant.is_empty())
            .then(|| id::<TenantId>(&header.tenant, "header.tenant", &mut problems));
        let tenant = match tenant {
            Some(named) => Some(problems.finish(named)?),
            None => None,
        };
        let owner = self.gate.pusher(caller, tenant).map_err(status)?;
        Ok((header, owner))
    }

    /// Reads an upload, which its header bounds.
    async fn upload(
        &self,
        header: v1::PushModuleHeader,
        parts: &mut Streaming<v1::PushModuleRequest>,
    ) -> Result<Vec<u8>, Status> {
        let most = self.limits.module;
        let size = match usize::try_from(header.size) {
            Ok(0) => return Err(bad_field("header.size", "0 bytes are no component")),
            Ok(size) if size <= most => size,
            Ok(_) | Err(_) => {
                return Err(too_large(&format!(
                    "the component has {} bytes, the limit is {most}; strip its debug information, \
                     or ask the operator for a higher limit",
                    header.size
                )));
            }
        };
        let mut bytes = Vec::with_capacity(size.min(FIRST_ROOM));
        while let Some(message) = parts.message().await? {
            let Some(Part::Chunk(chunk)) = message.part else {
                return Err(bad_field("chunk", "after the header, send the bytes alone"));
            };
            if chunk.len() > size - bytes.len() {
                let text = format!("more bytes came than the {size} of the header");
                return Err(bad_field("chunk", text));
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.len() < size {
            let text = format!("only {} of {size} bytes came; send it again", bytes.len());
            return Err(bad_field("chunk", text));
        }
        if !header.digest.is_empty() && header.digest != Digest::of(&bytes).to_string() {
            return Err(bad_field(
                "header.digest",
                "the bytes that came have another SHA-256; send them again",
            ));
        }
        Ok(bytes)
    }
}

/// Notes a module's name that is none.
fn named(field: &str, module: &str, problems: &mut Problems) {
    if module.is_empty() || module.len() > 200 {
        problems.push(field, "name a module, or give its digest or a prefix of it");
    }
}

/// Notes a config that is too long.
fn short(config: Option<&String>, problems: &mut Problems) {
    if config.is_some_and(|c| c.len() > MAX_CONFIG) {
        problems.push("config", format!("it is longer than {MAX_CONFIG} bytes"));
    }
}

/// A module and the binding for which something is said of it; none for all.
fn place(module: &str, binding: &str) -> Result<Option<BindingId>, Status> {
    let mut problems = Problems::default();
    named("module", module, &mut problems);
    let binding = (!binding.is_empty())
        .then(|| id::<BindingId>(binding, "binding", &mut problems))
        .flatten();
    problems.finish(Some(()))?;
    Ok(binding)
}

#[tonic::async_trait]
impl Policies for Shared {
    async fn push(
        &self,
        request: Request<Streaming<v1::PushModuleRequest>>,
    ) -> Result<Response<v1::PushModuleResponse>, Status> {
        let caller = caller(&request)?;
        if caller.role < Role::Writer {
            let text = "a reader may not push modules; use a credential of the role writer";
            return Err(status(ServeError::Denied(text.into())));
        }
        let mut parts = request.into_inner();
        let (mut header, owner) = self.header(&caller, &mut parts).await?;
        let signature = std::mem::take(&mut header.signature);
        if !matches!(signature.len(), 0 | SIGNATURE) {
            let text = format!(
                "an Ed25519 signature has {SIGNATURE} bytes, this one has {}; `tidegate policy sign` makes one",
                signature.len()
            );
            return Err(bad_field("header.signature", text));
        }
        let bytes = self.upload(header, &mut parts).await?;
        let module = self.blocking(move |gate| gate.push(&caller, owner, bytes, signature));
        let module = module.await?;
        Ok(Response::new(v1::PushModuleResponse {
            module: Some(module_out(module)),
        }))
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveModuleRequest>,
    ) -> Result<Response<v1::RemoveModuleResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut problems = Problems::default();
        let tenant = (!request.tenant.is_empty())
            .then(|| id::<TenantId>(&request.tenant, "tenant", &mut problems))
            .flatten();
        named("module", &request.module, &mut problems);
        problems.finish(Some(()))?;
        let module = self.blocking(move |gate| gate.remove(&caller, tenant, &request.module));
        Ok(Response::new(v1::RemoveModuleResponse {
            module: Some(module_out(module.await?)),
        }))
    }

    async fn list_modules(
        &self,
        request: Request<v1::ListModulesRequest>,
    ) -> Result<Response<v1::ListModulesResponse>, Status> {
        let caller = caller(&request)?;
        let modules = self.blocking(move |gate| gate.modules(&caller)).await?;
        Ok(Response::new(v1::ListModulesResponse {
            modules: modules.into_iter().map(module_out).collect(),
        }))
    }

    async fn list_slots(
        &self,
        request: Request<v1::ListSlotsRequest>,
    ) -> Result<Response<v1::ListSlotsResponse>, Status> {
        let caller = caller(&request)?;
        let mut slots = self.blocking(move |gate| gate.slots(&caller)).await?;
        slots.sort_by(|a, b| a.binding.cmp(&b.binding));
        Ok(Response::new(v1::ListSlotsResponse {
            slots: slots.iter().map(slot_out).collect(),
        }))
    }

    async fn bind(
        &self,
        request: Request<v1::BindRequest>,
    ) -> Result<Response<v1::BindResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut problems = Problems::default();
        let binding = id::<BindingId>(&request.binding, "binding", &mut problems);
        named("module", &request.module, &mut problems);
        short(request.config.as_ref(), &mut problems);
        let binding = problems.finish(binding)?;
        let bound = self
            .blocking(move |gate| gate.bind(&caller, &binding, &request.module, request.config));
        Ok(Response::new(v1::BindResponse {
            slot: Some(slot_out(&bound.await?)),
        }))
    }

    async fn rollback(
        &self,
        request: Request<v1::RollbackRequest>,
    ) -> Result<Response<v1::RollbackResponse>, Status> {
        let caller = caller(&request)?;
        let mut problems = Problems::default();
        let binding = id::<BindingId>(&request.get_ref().binding, "binding", &mut problems);
        let binding = problems.finish(binding)?;
        let slot = self
            .blocking(move |gate| gate.rollback(&caller, &binding))
            .await?;
        Ok(Response::new(v1::RollbackResponse {
            slot: Some(slot_out(&slot)),
        }))
    }

    async fn put_in_shadow(
        &self,
        request: Request<v1::PutInShadowRequest>,
    ) -> Result<Response<v1::PutInShadowResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut problems = Problems::default();
        let binding = id::<BindingId>(&request.binding, "binding", &mut problems);
        named("module", &request.module, &mut problems);
        short(request.config.as_ref(), &mut problems);
        let binding = problems.finish(binding)?;
        let slot = self.blocking(move |gate| {
            gate.put_in_shadow(&caller, &binding, &request.module, request.config)
        });
        Ok(Response::new(v1::PutInShadowResponse {
            slot: Some(slot_out(&slot.await?)),
        }))
    }

    async fn end_shadow(
        &self,
        request: Request<v1::EndShadowRequest>,
    ) -> Result<Response<v1::EndShadowResponse>, Status> {
        let caller = caller(&request)?;
        let mut problems = Problems::default();
        let binding = id::<BindingId>(&request.get_ref().binding, "binding", &mut problems);
        let binding = problems.finish(binding)?;
        let slot = self.blocking(move |gate| gate.end_shadow(&caller, &binding));
        Ok(Response::new(v1::EndShadowResponse {
            slot: Some(slot_out(&slot.await?)),
        }))
    }

    async fn promote(
        &self,
        request: Request<v1::PromoteRequest>,
    ) -> Result<Response<v1::PromoteResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut problems = Problems::default();
        let binding = id::<BindingId>(&request.binding, "binding", &mut problems);
        let binding = problems.finish(binding)?;
        let ground = match request.force {
            true => Ground::Forced,
            false => Ground::Ordinary,
        };
        let slot = self.blocking(move |gate| gate.promote(&caller, &binding, ground));
        Ok(Response::new(v1::PromoteResponse {
            slot: Some(slot_out(&slot.await?)),
        }))
    }

    async fn quarantine(
        &self,
        request: Request<v1::QuarantineRequest>,
    ) -> Result<Response<v1::QuarantineResponse>, Status> {
        let caller = caller(&request)?;
        let v1::QuarantineRequest { module, binding } = request.into_inner();
        let binding = place(&module, &binding)?;
        let told = self.blocking(move |gate| gate.quarantine(&caller, &module, binding.as_ref()));
        Ok(Response::new(v1::QuarantineResponse {
            module: Some(module_out(told.await?)),
        }))
    }

    async fn lift(
        &self,
        request: Request<v1::LiftRequest>,
    ) -> Result<Response<v1::LiftResponse>, Status> {
        let caller = caller(&request)?;
        let v1::LiftRequest { module, binding } = request.into_inner();
        let binding = place(&module, &binding)?;
        let told = self.blocking(move |gate| gate.lift(&caller, &module, binding.as_ref()));
        Ok(Response::new(v1::LiftResponse {
            module: Some(module_out(told.await?)),
        }))
    }

    async fn history(
        &self,
        request: Request<v1::HistoryRequest>,
    ) -> Result<Response<v1::HistoryResponse>, Status> {
        let caller = caller(&request)?;
        let of = request.into_inner().of;
        if of.is_empty() || of.len() > 200 {
            let text = "name a binding or a module, or give a digest or a prefix of it";
            return Err(bad_field("of", text));
        }
        let steps = self
            .blocking(move |gate| gate.history(&caller, &of))
            .await?;
        Ok(Response::new(v1::HistoryResponse {
            steps: steps.iter().map(step_out).collect(),
        }))
    }

    async fn compare(
        &self,
        request: Request<v1::CompareRequest>,
    ) -> Result<Response<v1::CompareResponse>, Status> {
        let caller = caller(&request)?;
        let v1::CompareRequest { a, b } = request.into_inner();
        let mut problems = Problems::default();
        named("a", &a, &mut problems);
        named("b", &b, &mut problems);
        problems.finish(Some(()))?;
        let told = self.blocking(move |gate| gate.compare(&caller, &a, &b));
        Ok(Response::new(comparison_out(told.await?)))
    }
}
