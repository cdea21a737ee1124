//! Where the output of several hosts goes: masked, kept and shown as one, each line with its host where there are several.

use std::sync::{Mutex, PoisonError};

use super::super::{
    Sink,
    redact::Redactor,
    spool::{Keeper, Spool},
    whole::Kept,
};

/// A line of which more than this came is shown in pieces, in bytes.
const LONGEST: usize = 8 << 10;

/// What is shown of a run.
pub(super) struct Shown<'a> {
    inner: Mutex<Inner<'a>>,
    spool: Spool,
    limit: usize,
}

struct Inner<'a> {
    keeper: Keeper,
    sink: &'a dyn Sink,
    printed: u64,
}

impl<'a> Shown<'a> {
    /// Keeps in this folder, this much, and shows it here.
    pub(super) fn new(spool: &Spool, limit: usize, sink: &'a dyn Sink) -> Self {
        let inner = Inner { keeper: spool.keep(limit), sink, printed: 0 };
        Self { inner: Mutex::new(inner), spool: spool.clone(), limit }
    }

    /// Shows what is masked already.
    pub(super) fn show(&self, masked: &[u8]) {
        if masked.is_empty() {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.printed += masked.len() as u64;
        inner.sink.output(masked);
        inner.keeper.push(masked);
    }

    /// What was kept of all of it, and how much there was.
    pub(super) async fn finish(self) -> (Kept, u64) {
        let mut inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        let failed = inner.keeper.failed().map(str::to_owned);
        let kept = if let Some(kept) = inner.keeper.take_whole() {
            Ok(kept)
        } else {
            // Of a long one that takes its time: it holds up nobody else.
            let read = tokio::task::spawn_blocking(move || self.spool.kept(self.limit)).await;
            read.map_err(std::io::Error::other).flatten()
        };
        let (mut kept, failed) = match kept {
            Ok(kept) => (kept, failed),
            Err(error) => (Kept::lost(), Some(error.to_string())),
        };
        if let Some(failed) = failed {
            tracing::error!(error = failed, "the output of a run could not be kept whole");
            kept.is_cut(&failed);
        }
        (kept, inner.printed)
    }
}

/// The output of one host.
pub(super) struct Voice<'v, 's> {
    shown: &'v Shown<'s>,
    redactor: Redactor,
    /// What each line begins with, where there are several hosts.
    prefix: Option<String>,
    line: Vec<u8>,
}

impl<'v, 's> Voice<'v, 's> {
    /// The output of a host.
    pub(super) const fn new(shown: &'v Shown<'s>, redactor: Redactor, prefix: Option<String>) -> Self {
        Self { shown, redactor, prefix, line: Vec::new() }
    }

    /// It printed something.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        let masked = self.redactor.push(bytes);
        self.pass(&masked);
    }

    /// It will print no more.
    pub(super) fn finish(mut self) {
        let masked = self.redactor.finish();
        self.pass(&masked);
        if !self.line.is_empty() {
            self.line.push(b'\n');
            self.whole_line();
        }
    }

    fn pass(&mut self, masked: &[u8]) {
        if self.prefix.is_none() {
            self.shown.show(masked);
            return;
        }
        for part in masked.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.whole_line();
            } else if self.line.len() > LONGEST {
                self.line.push(b'\n');
                self.whole_line();
            }
        }
    }

    fn whole_line(&mut self) {
        let mut line = self.prefix.clone().unwrap_or_default().into_bytes();
        line.append(&mut self.line);
        self.shown.show(&line);
    }
}
