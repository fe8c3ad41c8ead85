use super::*;
use proptest::prelude::*;
use std::process::{Child, Command, Stdio};

fn process(parent: u32, own: u64, waited: u64) -> Process {
    Process {
        parent,
        own,
        waited,
        begun: 1,
        ..Process::default()
    }
}

/// The CPU ticks after each of these readings, of a tree with root 10.
fn ticks<const N: usize>(readings: [&[(u32, Process)]; N]) -> [u64; N] {
    let mut tree = ProcessTree::new(10);
    readings.map(|reading| {
        tree.update(reading.iter().copied().collect());
        tree.ticks()
    })
}

#[test]
fn program_name_with_parentheses_is_skipped() {
    let stat = "17 (a) b (c)) S 3 17 17 0 -1 4194560 100 0 0 0 250 50 7 1 20 0 1 0 300 1000 200";
    let expected = Process {
        parent: 3,
        group: 17,
        begun: 300,
        own: 300,
        waited: 8,
        is_zombie: false,
    };
    assert_eq!(parse_stat(stat), Some(expected));
    assert_eq!(parse_stat("17 (cut"), None);
    assert_eq!(parse_stat("17 (cut) S 3 17"), None);
}

#[test]
fn memory_is_in_bytes_and_a_zombie_has_none() {
    let status = "Name:\tx\nVmRSS:\t    3072 kB\n";
    assert_eq!(kibibytes(status, "VmRSS:"), Some(3072 * 1024));
    assert_eq!(kibibytes("Name:\tx\nState:\tZ (zombie)\n", "VmRSS:"), None);
}

#[test]
fn exited_process_counts_once_whether_its_parent_waits_or_not() {
    let root = (10, process(1, 100, 0));
    let child = (11, process(10, 40, 0));
    // Waited for, with the five ticks that it used after the first reading.
    let waited = (10, process(1, 110, 45));
    assert_eq!(ticks([&[root, child], &[waited]]), [140, 155]);
    let ignored = (10, process(1, 110, 0));
    assert_eq!(ticks([&[root, child], &[ignored]]), [140, 150]);
}

#[test]
fn exited_grandchild_is_counted_by_the_nearest_running_ancestor() {
    let root = (10, process(1, 100, 0));
    let (child, grandchild) = ((11, process(10, 40, 0)), (12, process(11, 5, 0)));
    let all_waited = (10, process(1, 100, 45));
    assert_eq!(ticks([&[root, child, grandchild], &[all_waited]])[1], 145);
    let one_waited = (10, process(1, 100, 40));
    assert_eq!(ticks([&[root, child, grandchild], &[one_waited]])[1], 145);
}

#[test]
fn process_adopted_by_init_stays_counted_after_its_exit() {
    let root = (10, process(1, 100, 0));
    let adopted = (12, process(1, 7, 0));
    assert_eq!(ticks([&[root, adopted], &[root]]), [107, 107]);
}

#[test]
fn reused_process_id_is_another_process() {
    let root = (10, process(1, 100, 0));
    let old = (11, process(10, 40, 0));
    let new = Process {
        begun: 2,
        ..process(10, 3, 0)
    };
    assert_eq!(ticks([&[root, old], &[root, (11, new)]]), [140, 143]);
}

#[test]
fn descendants_are_found_by_parent_and_by_process_group() {
    let group = |parent, group| Process {
        group,
        ..process(parent, 0, 0)
    };
    let all = Processes::from([
        (10, group(1, 10)),
        (11, group(10, 10)),
        (12, group(11, 12)),
        (13, group(1, 10)),
        (14, group(13, 14)),
        (20, group(1, 20)),
        (21, group(20, 20)),
    ]);
    let found_from = |root: u32| {
        let mut found = Processes::from([(root, all[&root])]);
        add_descendants(&mut found, &all, root);
        found.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(found_from(10), [10, 11, 12, 13, 14]);
    // It leads no group: only its descendants.
    assert_eq!(found_from(11), [11, 12]);
}

proptest! {
    /// Whatever exits in whatever order, time never decreases.
    #[test]
    fn cpu_time_never_decreases(exits in proptest::collection::vec((1_usize..30, any::<bool>()), 0..30), own in proptest::collection::vec(0_u64..100, 30)) {
        let mut all: Processes = (0..30_u32).map(|pid| (10 + pid, process(if pid == 0 { 1 } else { 10 + (pid - 1) / 2 }, own[pid as usize], 0))).collect();
        let mut tree = ProcessTree::new(10);
        tree.update(all.clone());
        let mut last = tree.ticks();
        for (pid, is_waited) in exits {
            let pid = 10 + u32::try_from(pid).unwrap();
            let Some(exited) = all.remove(&pid) else { continue };
            if is_waited && let Some(parent) = all.get_mut(&exited.parent) {
                parent.waited += exited.own + exited.waited;
            }
            for orphan in all.values_mut().filter(|one| one.parent == pid) {
                orphan.parent = 1;
            }
            tree.update(all.clone());
            prop_assert!(tree.ticks() >= last, "{} after {last}", tree.ticks());
            last = tree.ticks();
        }
    }
}

/// A shell with a child, both waiting for the end of stdin. Dropping it ends both.
struct Shell(Child);

impl Shell {
    fn start(script: &str) -> Shell {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped());
        Shell(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn wait_for(reading: Reading, tree: &mut ProcessTree, processes: u32) -> ServerUsage {
    let deadline = 2000;
    for _ in 0..deadline {
        let usage = tree.read(reading).unwrap();
        if usage.processes == processes {
            return usage;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{tree:?} has never had {processes} processes");
}

#[test]
fn children_of_a_real_process_are_found_by_both_readings() {
    for reading in [Reading::Quick, Reading::Full] {
        let shell = Shell::start("cat; :");
        let mut tree = ProcessTree::new(shell.0.id());
        let usage = wait_for(reading, &mut tree, 2);
        assert!(usage.rss_bytes > 100_000, "{usage:?}");
        assert!(tree.open_fds().unwrap() >= 6);
        let usage = tree.read(Reading::Full).unwrap();
        let proportional = usage.pss_bytes.unwrap();
        assert!((1..usage.rss_bytes).contains(&proportional), "{usage:?}");
    }
}

#[test]
fn exited_root_has_no_usage() {
    let mut shell = Shell::start("exit 0");
    shell.0.wait().unwrap();
    assert_eq!(ProcessTree::new(shell.0.id()).read(Reading::Full), None);
}

#[test]
fn load_tester_is_no_part_of_a_server_that_started_it() {
    let parent = std::os::unix::process::parent_id();
    let mut tree = ProcessTree::new(parent);
    tree.read(Reading::Full).unwrap();
    assert!(!tree.known.contains_key(&std::process::id()), "{tree:?}");
    let own = ProcessTree::new(std::process::id()).read(Reading::Quick);
    assert!(own.unwrap().processes >= 1);
}
