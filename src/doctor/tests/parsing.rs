//! The files of /proc and /sys, as kernels write them.

use super::super::facts::{
    PortRange, cgroup_memory, files_open, is_root, may_raise_hard_limit, memory_available,
    memory_groups, number, port_list, port_range, sysctl_is_read_only, three_numbers,
};
use std::path::Path;

const HYBRID_MOUNTS: &str = "\
23 28 0:21 / /proc rw,relatime - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

const UNIFIED_MOUNTS: &str = "\
23 28 0:21 / /proc rw,nosuid shared:5 - proc proc rw
24 28 0:21 /sys /proc/sys ro,nosuid shared:5 - proc proc rw
30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
";

fn range(first: u16, last: u16) -> PortRange {
    PortRange { first, last }
}

#[test]
fn number_is_the_only_content_of_its_file() {
    assert_eq!(number("1048576\n"), Some(1_048_576));
    assert_eq!(
        number("9223372036854775807\n"),
        Some(i64::MAX.unsigned_abs())
    );
    assert_eq!(number("18446744073709551615\n"), Some(u64::MAX));
    for text in ["", "max\n", "-1\n", "18446744073709551616\n", "1 2\n"] {
        assert_eq!(number(text), None, "{text:?}");
    }
}

#[test]
fn open_files_are_allocated_less_unused() {
    assert_eq!(files_open("451\t0\t2466177\n"), Some(451));
    assert_eq!(files_open("451\t51\t9223372036854775807\n"), Some(400));
    assert_eq!(files_open("451\t0\n"), None);
    assert_eq!(
        three_numbers("287901\t383868\t575802\n"),
        Some([287_901, 383_868, 575_802])
    );
    assert_eq!(three_numbers("1 2 3 4\n"), None);
}

#[test]
fn port_ranges_include_both_ends() {
    let all = port_range("32768\t60999\n").unwrap();
    assert_eq!(all, range(32_768, 60_999));
    assert_eq!(all.count_without(&[]), 28_232);
    assert_eq!(range(7, 7).count_without(&[]), 1);
    assert_eq!(range(0, u16::MAX).count_without(&[]), 65_536);
    for text in ["", "32768\n", "60999\t32768\n", "1\t65536\n"] {
        assert_eq!(port_range(text), None, "{text:?}");
    }
}

#[test]
fn overlapping_reserved_ports_are_subtracted_once() {
    assert_eq!(port_list("\n"), Some(Vec::new()));
    let reserved = port_list("80,8080,9148-9160\n").unwrap();
    assert_eq!(
        reserved,
        [range(80, 80), range(8_080, 8_080), range(9_148, 9_160)]
    );
    assert_eq!(range(8_000, 9_150).count_without(&reserved), 1_151 - 1 - 3);
    let overlapping = [range(10, 20), range(15, 30)];
    assert_eq!(range(1, 100).count_without(&overlapping), 100 - 21);
    assert_eq!(port_list("80,x"), None);
}

#[test]
fn available_memory_is_in_kib_and_may_be_missing() {
    let meminfo =
        "MemTotal:       24684092 kB\nMemFree:        23573880 kB\nMemAvailable:   24189240 kB\n";
    assert_eq!(memory_available(meminfo), Some(24_189_240 * 1_024));
    assert_eq!(memory_available("MemTotal:       24684092 kB\n"), None);
}

#[test]
fn status_has_the_effective_user_and_capabilities() {
    let root = "Name:\techoloop\nUid:\t1000\t0\t0\t0\nCapEff:\t000001ffffffffff\n";
    assert_eq!(is_root(root), Some(true), "the effective user decides");
    assert_eq!(may_raise_hard_limit(root), Some(true));
    let bounded = "Uid:\t0\t1000\t0\t0\nCapEff:\t000001fffeffffff\n";
    assert_eq!(is_root(bounded), Some(false));
    assert_eq!(
        may_raise_hard_limit(bounded),
        Some(false),
        "bit 24 is missing"
    );
    assert_eq!(is_root("Name:\techoloop\n"), None);
    assert_eq!(may_raise_hard_limit("CapEff:\tx\n"), None);
}

#[test]
fn read_only_proc_sys_is_detected() {
    assert_eq!(sysctl_is_read_only(HYBRID_MOUNTS), Some(false));
    assert_eq!(sysctl_is_read_only(UNIFIED_MOUNTS), Some(true));
    assert_eq!(sysctl_is_read_only(""), None);
}

#[test]
fn cgroup_v1_with_the_memory_controller_is_used() {
    let cgroup = "8:pids:/\n4:memory:/outer/inner\n0::/elsewhere\n";
    let (files, directories) = memory_groups(cgroup, HYBRID_MOUNTS).unwrap();
    assert_eq!(files.limit, "memory.limit_in_bytes");
    let expected =
        ["outer/inner", "outer", ""].map(|name| Path::new("/sys/fs/cgroup/memory").join(name));
    assert_eq!(directories, expected);
}

#[test]
fn cgroup_v2_is_used_without_a_v1_memory_controller() {
    let cgroup = "0::/system.slice/echoloop.service\n";
    let (files, directories) = memory_groups(cgroup, UNIFIED_MOUNTS).unwrap();
    assert_eq!(files.limit, "memory.max");
    assert_eq!(
        directories[0],
        Path::new("/sys/fs/cgroup/system.slice/echoloop.service")
    );
    assert_eq!(directories.len(), 3);
    assert_eq!(memory_groups(cgroup, ""), None, "nothing is mounted");
}

#[test]
fn partially_mounted_cgroup_tree_stays_within_its_mount() {
    let mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
    let directories = |path: &str| {
        memory_groups(&format!("4:memory:{path}\n"), mounts)
            .unwrap()
            .1
    };
    let point = Path::new("/sys/fs/cgroup/memory");
    assert_eq!(directories("/docker/abc"), [point]);
    assert_eq!(
        directories("/docker/abc/inner"),
        [point.join("inner"), point.to_path_buf()]
    );
    assert_eq!(directories("/somewhere/else"), [point]);
    let whole = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    let (_, outside) = memory_groups("0::/../../outside\n", whole).unwrap();
    assert_eq!(
        outside,
        [Path::new("/sys/fs/cgroup")],
        "no path leads out of the mount"
    );
}

#[test]
fn cgroup_without_a_limit_is_none() {
    let (v2, _) = memory_groups("0::/\n", UNIFIED_MOUNTS).unwrap();
    let read = |limit: &str| {
        cgroup_memory(
            v2,
            Path::new("/g"),
            limit,
            "1000\n",
            "anon 5\ninactive_file 300\n",
        )
    };
    for unlimited in [
        "max\n",
        "9223372036854771712\n",
        "9223372036854775807\n",
        "",
    ] {
        assert_eq!(read(unlimited), None, "{unlimited:?}");
    }
    let limited = read("5000\n").unwrap();
    assert_eq!(
        (limited.limit_bytes, limited.used_bytes),
        (5_000, 700),
        "page cache that can be dropped is not used"
    );
    assert_eq!(limited.left(), 4_300);
    assert_eq!(limited.file, Path::new("/g/memory.max"));
}

#[test]
fn cgroup_v1_subtracts_the_page_cache_of_its_children() {
    let (v1, _) = memory_groups("4:memory:/\n", HYBRID_MOUNTS).unwrap();
    let stat = "inactive_file 1\ntotal_inactive_file 400\n";
    let limited = cgroup_memory(v1, Path::new("/g"), "5000\n", "1000\n", stat).unwrap();
    assert_eq!(limited.used_bytes, 600);
    assert_eq!(cgroup_memory(v1, Path::new("/g"), "5000\n", "", stat), None);
    assert_eq!(
        cgroup_memory(v1, Path::new("/g"), "5000\n", "1000", "")
            .unwrap()
            .used_bytes,
        1_000
    );
}
