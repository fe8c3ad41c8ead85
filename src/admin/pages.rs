//! The pages: rendered when they are requested first after a snapshot was taken.

use super::request::Page;
use super::respond::{Content, Status};
use super::{Snapshot, metrics, page, status};
use std::time::Duration;

/// The pages of a snapshot.
#[derive(Debug)]
pub(super) struct Pages {
    snapshot: Snapshot,
    rendered: [Option<Content>; 3],
    is_draining: bool,
    healthy: Content,
    draining: Content,
}

impl Pages {
    pub(super) fn new(snapshot: Snapshot) -> Pages {
        Pages {
            is_draining: snapshot.server.is_draining,
            snapshot,
            rendered: [const { None }; 3],
            healthy: Content::text("ok\n"),
            draining: Content::text("draining\n"),
        }
    }

    pub(super) fn set_snapshot(&mut self, snapshot: Snapshot) {
        self.is_draining = snapshot.server.is_draining;
        self.snapshot = snapshot;
        self.rendered = [const { None }; 3];
    }

    pub(super) fn set_draining(&mut self, is_draining: bool) {
        self.is_draining = is_draining;
    }

    /// The time since 1970-01-01 00:00 UTC at which the snapshot was taken.
    pub(super) fn time(&self) -> Duration {
        self.snapshot.time
    }

    /// The status and the content of a page.
    pub(super) fn content(&mut self, page: Page) -> (Status, &Content) {
        let (index, render): (usize, fn(&Snapshot) -> Content) = match page {
            Page::Health if self.is_draining => return (Status::UNAVAILABLE, &self.draining),
            Page::Health => return (Status::OK, &self.healthy),
            Page::Metrics => (0, render_metrics),
            Page::Status => (1, render_status),
            Page::Live => (2, render_page),
        };
        let snapshot = &self.snapshot;
        let rendered = &mut self.rendered[index];
        (Status::OK, rendered.get_or_insert_with(|| render(snapshot)))
    }
}

fn render_metrics(snapshot: &Snapshot) -> Content {
    Content {
        kind: "text/plain; version=0.0.4; charset=utf-8",
        policy: None,
        body: metrics(snapshot),
    }
}

fn render_status(snapshot: &Snapshot) -> Content {
    Content {
        kind: "application/json",
        policy: None,
        body: status(snapshot),
    }
}

fn render_page(snapshot: &Snapshot) -> Content {
    let (body, policy) = page(snapshot);
    Content {
        kind: "text/html; charset=utf-8",
        policy: Some(policy),
        body,
    }
}
