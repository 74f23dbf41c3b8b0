//! What Linux tells of the network: interfaces, TCP's own counters, and how much waits in a server's sockets.
//!
//! Counters of the whole machine (of this network namespace): whatever else runs here is in them.

use std::fs;

/// One look. Counts go up from the machine's start.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Network {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) segments_sent: u64,
    pub(crate) segments_sent_again: u64,
    /// Connections that came and found the accept queue full.
    pub(crate) connections_dropped: u64,
    /// Times that the kernel had no memory for sockets.
    pub(crate) memory_pressures: u64,
}

/// Bytes through one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) in_bytes: u64,
    pub(crate) out_bytes: u64,
    /// What it says it can; loopback and many virtual ones say nothing.
    pub(crate) mbit_per_s: Option<u64>,
}

/// What the sockets behind some ports hold that the other ends have not taken yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SendQueues {
    pub(crate) sockets: u64,
    /// Those that hold more than [`QUEUE_BYTES_MIN`].
    pub(crate) full: u64,
    pub(crate) bytes: u64,
}

impl Network {
    pub(crate) fn read() -> Option<Self> {
        let read = |path: &str| fs::read_to_string(path).ok();
        let mut interfaces = interfaces(&read("/proc/net/dev")?);
        for interface in &mut interfaces {
            let speed = read(&format!("/sys/class/net/{}/speed", interface.name));
            // -1: not known.
            interface.mbit_per_s = speed.and_then(|text| text.trim().parse().ok());
        }
        let (snmp, netstat) = (read("/proc/net/snmp")?, read("/proc/net/netstat"));
        let netstat = netstat.unwrap_or_default();
        let of_tcp = |key| counter(&snmp, "Tcp:", key).unwrap_or(0);
        let beyond = |key| counter(&netstat, "TcpExt:", key).unwrap_or(0);
        Some(Self {
            interfaces,
            segments_sent: of_tcp("OutSegs"),
            segments_sent_again: of_tcp("RetransSegs"),
            connections_dropped: beyond("ListenDrops"),
            memory_pressures: beyond("TCPMemoryPressures") + beyond("TCPAbortOnMemory"),
        })
    }
}

impl SendQueues {
    /// Of the connected sockets of this machine behind these ports. Walks all sockets, so not for every second.
    pub(crate) fn read(ports: &[u16]) -> Self {
        let mut sum = Self::default();
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            sum.add(&fs::read_to_string(table).unwrap_or_default(), ports);
        }
        sum
    }

    fn add(&mut self, table: &str, ports: &[u16]) {
        for (port, bytes) in table.lines().filter_map(connected) {
            if ports.contains(&port) {
                self.sockets += 1;
                self.full += u64::from(bytes > QUEUE_BYTES_MIN);
                self.bytes += bytes;
            }
        }
    }
}

/// Local port and bytes to be sent or acknowledged, of a line about a connected socket.
fn connected(line: &str) -> Option<(u16, u64)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (_, port) = fields.next()?.rsplit_once(':')?;
    let (_remote, state) = (fields.next()?, fields.next()?);
    let (unsent, _unread) = fields.next()?.split_once(':')?;
    (state == STATE_CONNECTED).then(|| {
        Some((
            u16::from_str_radix(port, 16).ok()?,
            u64::from_str_radix(unsent, 16).ok()?,
        ))
    })?
}

fn interfaces(table: &str) -> Vec<Interface> {
    let interface = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> = numbers
            .split_ascii_whitespace()
            .map_while(|number| number.parse().ok())
            .collect();
        Some(Interface {
            name: name.trim().to_owned(),
            in_bytes: *numbers.first()?,
            out_bytes: *numbers.get(8)?,
            mbit_per_s: None,
        })
    };
    table.lines().filter_map(interface).collect()
}

/// A number out of two lines that begin alike: names, then values.
fn counter(text: &str, group: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut both = names
        .split_ascii_whitespace()
        .zip(values.split_ascii_whitespace());
    both.find(|(name, _)| *name == key)?.1.parse().ok()
}

/// Less may only be on its way: an acknowledgement takes up to 40 ms.
const QUEUE_BYTES_MIN: u64 = 16 * 1_024;
const STATE_CONNECTED: &str = "01";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_by_interface() {
        let table =
            "Inter-|\n face |\n    lo: 99 0 0 0 0 0 0 0 98 0\n  eth0: 5 0 0 0 0 0 0 0 7 0\n";
        let found = interfaces(table);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.name.as_str(), one.in_bytes, one.out_bytes))
            .collect();
        assert_eq!(found, [("lo", 99, 98), ("eth0", 5, 7)]);
    }

    #[test]
    fn counters_are_found_under_their_names() {
        let snmp = "Ip: A B\nIp: 1 2\nTcp: OutSegs RetransSegs\nTcp: 1000 7\n";
        assert_eq!(counter(snmp, "Tcp:", "RetransSegs"), Some(7));
        assert_eq!(counter(snmp, "Tcp:", "Other"), None);
    }

    #[test]
    fn only_what_waits_behind_the_ports_counts() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
            0: 0100007F:1F40 00000000:0000 0A 00000000:00000001 00:0 0\n\
            1: 0100007F:1F40 0100007F:C001 01 00010000:00000000 00:0 0\n\
            2: 0100007F:1F40 0100007F:C002 01 00000010:00000000 00:0 0\n\
            3: 0100007F:C001 0100007F:1F40 01 00020000:00000000 00:0 0\n";
        let mut queues = SendQueues::default();
        queues.add(table, &[8_000]);
        let expected = SendQueues {
            sockets: 2,
            full: 1,
            bytes: 65_552,
        };
        assert_eq!(queues, expected);
    }

    #[test]
    fn this_machine_tells_of_its_loopback() {
        let network = Network::read().unwrap();
        assert!(network.interfaces.iter().any(|one| one.name == "lo"));
        assert!(network.segments_sent > 0);
    }
}
