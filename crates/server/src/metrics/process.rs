//! Metrics of the process, with the names that Prometheus' client libraries share. They are read from `/proc` at each
//! scrape; if it is not there, they are left out.

use std::fmt::Write;
use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::catalog::{Kind, METRICS};

/// The metrics in Prometheus' text format.
pub(super) fn render() -> String {
    let mut text = String::new();
    if let Some(usage) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| Usage::parse(&stat)) {
        render_usage(&mut text, &usage);
    }
    text
}

fn render_usage(text: &mut String, usage: &Usage) {
    let Usage { cpu_seconds, threads, started_after_boot, virtual_bytes, resident_bytes } = *usage;
    write(text, "process_cpu_seconds_total", cpu_seconds);
    write(text, "process_resident_memory_bytes", resident_bytes);
    write(text, "process_virtual_memory_bytes", virtual_bytes);
    if let Some(open) = open_files() {
        write(text, "process_open_fds", open as f64);
    }
    let most = getrlimit(Resource::Nofile).current;
    write(text, "process_max_fds", most.map_or(f64::INFINITY, |most| most as f64));
    write(text, "process_threads", threads);
    // Computed once: the clocks of later scrapes would give other fractions, which would look like restarts.
    static START: OnceLock<f64> = OnceLock::new();
    let start = START.get_or_init(|| boot_seconds() + started_after_boot);
    write(text, "process_start_time_seconds", *start);
}

fn write(text: &mut String, name: &str, value: f64) {
    let metric = METRICS.iter().find(|metric| metric.name == name).expect("it is in the list");
    let kind = match metric.kind {
        Kind::Counter => "counter",
        _ => "gauge",
    };
    let value = if value.is_infinite() { "+Inf".to_owned() } else { value.to_string() };
    let written = write!(text, "# HELP {name} {}\n# TYPE {name} {kind}\n{name} {value}\n\n", metric.help);
    written.expect("a string accepts every text");
}

struct Usage {
    cpu_seconds: f64,
    threads: f64,
    started_after_boot: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
}

impl Usage {
    /// Reads the fields of `/proc/self/stat`, numbered as in proc(5). The second one, the name of the program, may contain
    /// blanks and brackets.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.trim_end().parse::<f64>().ok();
        let ticks = clock_ticks_per_second() as f64;
        Some(Usage {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            started_after_boot: field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_size() as f64,
        })
    }
}

/// When the machine was started, in seconds since 1970. Unlike `/proc/stat`, clocks can be read in a sandbox.
fn boot_seconds() -> f64 {
    let since_boot = clock_gettime(ClockId::Boottime);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since_boot = Duration::new(since_boot.tv_sec as u64, since_boot.tv_nsec as u32);
    since_1970.as_secs_f64() - since_boot.as_secs_f64()
}

/// Since Linux 6.2 the size of the folder is the number of its entries; with older versions they are counted.
fn open_files() -> Option<usize> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        // The folder itself is open while it is read.
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() - 1),
        entries => usize::try_from(entries).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let stat =
            "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 1000 8192 2 18446744073709551615 1";
        let usage = Usage::parse(stat).expect("it has all fields");
        let ticks = clock_ticks_per_second() as f64;
        assert_eq!(usage.cpu_seconds, 300.0 / ticks);
        assert_eq!(usage.threads, 3.0);
        assert_eq!(usage.started_after_boot, 1000.0 / ticks);
        assert_eq!((usage.virtual_bytes, usage.resident_bytes), (8192.0, 2.0 * page_size() as f64));
    }

    #[test]
    fn a_cut_or_strange_file_has_no_values() {
        for stat in
            ["", "7", "7 (a) S 1 7", "7 (a) S 1 7 7 0 -1 4194560 1 0 0 0 x 50 0 0 20 0 3 0 1000 8192 2"]
        {
            assert!(Usage::parse(stat).is_none(), "{stat}");
        }
    }

    #[test]
    fn an_opened_file_is_counted_until_it_is_closed() {
        // Other tests of this process may open files meanwhile, so more files than they have are opened.
        let before = open_files().expect("this is Linux");
        let files: Vec<_> = (0..200).map(|_| fs::File::open("/dev/null").expect("it exists")).collect();
        assert!(open_files().expect("this is Linux") >= before + 150);
        drop(files);
        assert!(open_files().expect("this is Linux") < before + 150);
    }
}
