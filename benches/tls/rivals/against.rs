//! The columns of the table, and what a row of it is compared with.

use super::RIVALS;

/// The rivals, as the table names them.
pub(crate) const COLUMNS: [&str; RIVALS] = ["echoloop", "HAProxy", "nginx", "stunnel"];

/// What echoloop is compared with: one rival, or the better of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    Haproxy,
    Nginx,
    Stunnel,
    HaproxyOrNginx,
}

impl Against {
    /// The columns of ratios.
    pub(crate) const COLUMNS: [Against; 3] = [Against::Haproxy, Against::Nginx, Against::Stunnel];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Against::Haproxy => "HAProxy",
            Against::Nginx => "nginx",
            Against::Stunnel => "stunnel",
            Against::HaproxyOrNginx => "HAProxy or nginx",
        }
    }

    pub(crate) fn candidates(self) -> &'static [usize] {
        match self {
            Against::Haproxy => &[1],
            Against::Nginx => &[2],
            Against::Stunnel => &[3],
            Against::HaproxyOrNginx => &[1, 2],
        }
    }
}
