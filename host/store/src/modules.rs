//! Components by digest, in parts; what is known of one apart from its bytes, so that listing
//! reads no component.

use crate::codec::Malformed;
use crate::disk::Batch;
use crate::keys::{self, Kind};
use crate::mirror;
use crate::shared::{locked, reading};
use crate::store::Store;
use tidegate_core::ids::Digest;
use tidegate_core::ports::storage::{Modules, StoreError, StoredModule};

impl Modules for Store {
    fn put(&self, module: &StoredModule, bytes: &[u8]) -> Result<(), StoreError> {
        let _writing = reading(&self.shared.writing);
        let _one = locked(&self.shared.modules);
        let disk = &self.shared.disk;
        disk.room()?;
        let key = keys::digest(Kind::Module, &module.digest);
        let mut batch = Batch::default();
        let entry = match disk.get_large(&key)? {
            Some(stored) => StoredModule {
                manifest: mirror::module_of(&stored).map_err(|e| e.at(&key))?.manifest,
                ..module.clone()
            },
            None if Digest::of(bytes) != module.digest => {
                return Err(StoreError::Refused {
                    what: format!(
                        "module {} {}",
                        module.manifest.name, module.manifest.version
                    ),
                    why: format!(
                        "its bytes have digest {} and not {}; push it again",
                        Digest::of(bytes).short(),
                        module.digest.short()
                    ),
                });
            }
            None => {
                let component = keys::digest(Kind::Component, &module.digest);
                disk.put_large(&mut batch, &component, bytes)?;
                module.clone()
            }
        };
        disk.put_large(&mut batch, &key, &mirror::encode_module(&entry)?)?;
        disk.commit(batch)
    }

    fn list(&self) -> Result<Vec<StoredModule>, StoreError> {
        let mut modules = vec![];
        self.shared
            .disk
            .scan_large(&Kind::Module.prefix(), |key, bytes| {
                modules.push(mirror::module_of(&bytes).map_err(|e| e.at(key))?);
                Ok(())
            })?;
        modules.sort_by_key(|m| (m.admitted_at(), m.digest));
        Ok(modules)
    }

    fn bytes(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let key = keys::digest(Kind::Component, digest);
        let Some(bytes) = self.shared.disk.get_large(&key)? else {
            return Ok(None);
        };
        if Digest::of(&bytes) != *digest {
            return Err(Malformed("it has another digest than its name says").at(&key));
        }
        Ok(Some(bytes))
    }
}
