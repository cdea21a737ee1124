//! An application service of a homeserver's pool, for one test at a time.

use std::{fs, path::Path, thread, time::Duration};

use super::state::{Appservice, Homeserver};

/// A leased application service; given back when this is dropped, or when the process ends.
pub struct Lease {
    /// The homeserver it is registered with.
    pub homeserver: Homeserver,
    /// The application service.
    pub appservice: Appservice,
    _lock: fs::File,
}

impl Lease {
    /// Waits for a free one. `leases` is the folder of the lock files, `mark` tells this homeserver's from another's.
    pub fn take(homeserver: &Homeserver, leases: &Path, mark: &str) -> Self {
        fs::create_dir_all(leases).unwrap();
        loop {
            for appservice in &homeserver.appservices {
                let lock = fs::File::create(leases.join(format!("{mark}{}", appservice.id))).unwrap();
                if lock.try_lock().is_ok() {
                    let (homeserver, appservice) = (homeserver.clone(), appservice.clone());
                    return Self { homeserver, appservice, _lock: lock };
                }
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
