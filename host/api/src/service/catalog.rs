//! The desired state over the wire: a change set is parsed whole before the port sees any of it, so
//! that every problem of every object is named in one answer.

use super::Shared;
use crate::auth::caller;
use crate::convert::catalog::{change, effect_out, key, key_out, kind, object_out};
use crate::convert::told::Told;
use crate::scope;
use crate::status::{Problems, bad_field, status};
use std::collections::BTreeMap;
use tidegate_core::access::Principal;
use tidegate_core::catalog::template::Template;
use tidegate_core::catalog::{Change, Object, ObjectKey, ObjectKind, Versioned};
use tidegate_core::forecast::Champion;
use tidegate_core::ids::{ApiId, Generation};
use tidegate_core::ports::serve::{Gate, Run, ServeError};
use tidegate_proto::v1;
use tidegate_proto::v1::catalog_server::Catalog;
use tonic::{Request, Response, Status};

/// Most changes of one set: the whole set is checked as one.
const MAX_CHANGES: usize = 10_000;
/// Objects on a page when the caller names no number, and the most that it may name.
const PAGE: (u32, u32) = (500, 1_000);

/// Objects on the wire, as they stand. How forecasts fare is the pools' to tell, and a pool may be in
/// its cycle: so this is called where it may block.
fn told(
    gate: &dyn Gate,
    caller: &Principal,
    objects: Vec<Versioned<Object>>,
) -> Vec<v1::VersionedObject> {
    let apis: Vec<ApiId> = objects
        .iter()
        .filter_map(|object| match &object.value {
            Object::Api(api) => Some(api.id.clone()),
            _ => None,
        })
        .collect();
    let mut champions: BTreeMap<ApiId, Vec<Champion>> = BTreeMap::new();
    if !apis.is_empty() {
        for champion in gate.champions(caller, &apis) {
            let api = champion.key.api.clone();
            champions.entry(api).or_default().push(champion);
        }
    }
    // Those that the caller may see: what it may not, it is not told of here either.
    let selects = objects
        .iter()
        .any(|o| matches!(o.value, Object::Template(_)));
    let all = match selects {
        true => gate.list(caller, ObjectKind::Api).unwrap_or_default(),
        false => vec![],
    };
    let group = |template: &Template| -> Vec<ApiId> {
        let apis = all.iter().filter_map(|object| match &object.value {
            Object::Api(api) if template.selector.selects(api) => Some(api.id.clone()),
            _ => None,
        });
        apis.collect()
    };
    let tell = |object: Versioned<Object>| {
        let told = match &object.value {
            Object::Tenant(tenant) => Told {
                usage: gate.usage(caller, &tenant.id),
                ..Told::default()
            },
            Object::Api(api) => Told {
                champions: champions.remove(&api.id).unwrap_or_default(),
                ..Told::default()
            },
            Object::Template(template) => Told {
                group: group(template),
                ..Told::default()
            },
            _ => Told::default(),
        };
        object_out(object, &told)
    };
    objects.into_iter().map(tell).collect()
}

impl Shared {
    async fn apply_as(
        &self,
        caller: std::sync::Arc<Principal>,
        changes: Vec<Change>,
        dry_run: bool,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        own_changes(&caller, &changes)?;
        let run = if dry_run { Run::Dry } else { Run::Real };
        let applied = self
            .blocking(move |gate| gate.apply(&caller, changes, run))
            .await?;
        let effects = applied
            .effects
            .iter()
            .map(|(key, effect)| v1::ChangeEffect {
                key: Some(key_out(key)),
                effect: effect_out(*effect).into(),
            });
        Ok(Response::new(v1::ApplyResponse {
            generation: applied.generation.0,
            effects: effects.collect(),
        }))
    }
}

/// Refuses what would let an error tell whether a foreign object exists.
fn own_changes(caller: &Principal, changes: &[Change]) -> Result<(), Status> {
    let mut problems = Problems::default();
    for (i, change) in changes.iter().enumerate() {
        match change {
            Change::Delete { key, .. } => scope::visible_key(caller, key).map_err(status)?,
            Change::Put { object, .. } => {
                if let Some(foreign) = object.tenant().filter(|t| !caller.sees(t)) {
                    let text = format!("your credential does not hold the tenant `{foreign}`");
                    return Err(status(ServeError::Denied(text)));
                }
                for (field, api) in scope::foreign_references(caller, object) {
                    let kind = object.key().kind.name();
                    problems.push(
                        format!("changes[{i}].put.object.{kind}.{field}"),
                        format!("there is no api `{api}` among your credential's tenants"),
                    );
                }
            }
        }
    }
    problems.finish(Some(()))
}

/// An object that is not there and one that the caller may not see are the same.
fn found(
    caller: &Principal,
    key: &ObjectKey,
    read: Result<Versioned<Object>, ServeError>,
) -> Result<Versioned<Object>, ServeError> {
    match read {
        Ok(object) if scope::sees_object(caller, &object) => Ok(object),
        Ok(_) | Err(ServeError::NotFound { .. }) => Err(scope::absent(key.kind.name(), &key.name)),
        Err(error) => Err(error),
    }
}

#[tonic::async_trait]
impl Catalog for Shared {
    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let count = request.changes.len();
        if count == 0 || count > MAX_CHANGES {
            let text = format!("{count} changes are not a set of 1 to {MAX_CHANGES}");
            return Err(bad_field("changes", text));
        }
        let mut problems = Problems::default();
        let read = request.changes.into_iter().enumerate();
        let changes: Vec<_> = read
            .filter_map(|(i, c)| change(c, &format!("changes[{i}]"), &mut problems))
            .collect();
        let changes = problems.finish(Some(changes))?;
        self.apply_as(caller, changes, request.dry_run).await
    }

    async fn get(
        &self,
        request: Request<v1::GetObjectRequest>,
    ) -> Result<Response<v1::GetObjectResponse>, Status> {
        let caller = caller(&request)?;
        let mut problems = Problems::default();
        let key = key(request.get_ref().key.as_ref(), "key", &mut problems);
        let key = problems.finish(key)?;
        scope::visible_key(&caller, &key).map_err(status)?;
        let read = self.blocking(move |gate| {
            let read = found(&caller, &key, gate.get(&caller, &key))?;
            Ok(told(gate, &caller, vec![read]).pop())
        });
        Ok(Response::new(v1::GetObjectResponse {
            object: read.await?,
        }))
    }

    async fn list(
        &self,
        request: Request<v1::ListObjectsRequest>,
    ) -> Result<Response<v1::ListObjectsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut problems = Problems::default();
        let kind = problems.take("kind", kind(request.kind));
        let size = match request.page_size {
            0 => PAGE.0,
            size if size <= PAGE.1 => size,
            size => {
                let most = PAGE.1;
                problems.push(
                    "page_size",
                    format!("{size} is more than {most}; ask for pages"),
                );
                most
            }
        };
        let kind = problems.finish(kind)?;
        let mut all = self.gate.list(&caller, kind).map_err(status)?;
        all.retain(|object| scope::sees_object(&caller, object));
        // A page token is the last name of the page before: it stays right when objects come or go.
        let mut rest: Vec<(String, Versioned<Object>)> =
            all.into_iter().map(|o| (o.value.key().name, o)).collect();
        rest.sort_by(|a, b| a.0.cmp(&b.0));
        rest.retain(|(name, _)| request.page_token.is_empty() || *name > request.page_token);
        let more = rest.len() > size as usize;
        rest.truncate(size as usize);
        let next_page_token = match rest.last() {
            Some((name, _)) if more => name.clone(),
            _ => String::new(),
        };
        let rest = rest.into_iter().map(|(_, object)| object).collect();
        let objects = self.blocking(move |gate| Ok(told(gate, &caller, rest)));
        Ok(Response::new(v1::ListObjectsResponse {
            objects: objects.await?,
            next_page_token,
        }))
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteObjectRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut problems = Problems::default();
        let key = key(request.key.as_ref(), "key", &mut problems);
        let key = problems.finish(key)?;
        scope::visible_key(&caller, &key).map_err(status)?;
        // The catalog reports a missing object as a field of a set; a single deletion says it plainly.
        found(&caller, &key, self.gate.get(&caller, &key)).map_err(status)?;
        let delete = Change::Delete {
            key,
            expect: request.expect_generation.map(Generation),
        };
        self.apply_as(caller, vec![delete], request.dry_run).await
    }
}
