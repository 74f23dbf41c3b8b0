//! The server's own counters, read from its Prometheus page over plain HTTP.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio_tungstenite::tungstenite::http::Uri;

/// Where the page is.
#[derive(Clone, Debug)]
pub(crate) struct MetricsPage {
    address: SocketAddr,
    path: String,
}

/// The counters that tell how writing works and what a publish costs. Each counts up from the server's start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counters {
    /// Frames put into outboxes.
    pub(crate) deliveries: Option<f64>,
    /// Times a connection's own task was woken to write.
    pub(crate) write_wakeups: Option<f64>,
    /// Write calls to sockets; several frames may leave with one.
    pub(crate) write_calls: Option<f64>,
    /// Bytes of frames put into outboxes.
    pub(crate) delivery_bytes: Option<f64>,
    /// Bytes of WebSocket messages received.
    pub(crate) received_bytes: Option<f64>,
    /// Events appended to logs.
    pub(crate) appends: Option<f64>,
    /// Pages of history read from logs.
    pub(crate) history_pages: Option<f64>,
}

impl MetricsPage {
    pub(crate) fn parse(url: &str) -> anyhow::Result<Self> {
        let uri: Uri = url
            .parse()
            .with_context(|| format!("`{url}` is not a URL"))?;
        ensure!(
            uri.scheme_str() == Some("http"),
            "`{url}` does not begin with http://"
        );
        let host = uri.host().with_context(|| format!("`{url}` has no host"))?;
        let mut addresses = (host, uri.port_u16().unwrap_or(80)).to_socket_addrs()?;
        let address = addresses
            .next()
            .with_context(|| format!("`{host}` has no address"))?;
        Ok(Self {
            address,
            path: uri.path().to_owned(),
        })
    }

    pub(crate) fn read(&self) -> anyhow::Result<Counters> {
        let mut stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        // HTTP/1.0: the answer ends with the connection and is never chunked.
        write!(
            stream,
            "GET {} HTTP/1.0\r\nHost: {}\r\n\r\n",
            self.path, self.address
        )?;
        let mut answer = String::new();
        stream.take(PAGE_BYTES_MAX).read_to_string(&mut answer)?;
        ensure!(
            answer.split_ascii_whitespace().nth(1) == Some("200"),
            "the metrics page did not answer 200"
        );
        Ok(Counters::parse(&answer))
    }
}

impl Counters {
    fn parse(page: &str) -> Self {
        Self {
            deliveries: sum(page, "parlor_deliveries_total"),
            write_wakeups: sum(page, "parlor_write_wakeups_total"),
            write_calls: sum(page, "parlor_write_calls_total"),
            delivery_bytes: sum(page, "parlor_delivery_bytes_total"),
            received_bytes: sum(page, "parlor_received_bytes_total"),
            appends: sum(page, "parlor_broker_appends_total"),
            history_pages: sum(page, "parlor_broker_pages_total"),
        }
    }

    /// Two nodes' counters together.
    pub(crate) fn plus(self, other: Self) -> Self {
        let add = |one: Option<f64>, two: Option<f64>| one.zip(two).map(|(one, two)| one + two);
        Self {
            deliveries: add(self.deliveries, other.deliveries),
            write_wakeups: add(self.write_wakeups, other.write_wakeups),
            write_calls: add(self.write_calls, other.write_calls),
            delivery_bytes: add(self.delivery_bytes, other.delivery_bytes),
            received_bytes: add(self.received_bytes, other.received_bytes),
            appends: add(self.appends, other.appends),
            history_pages: add(self.history_pages, other.history_pages),
        }
    }
}

/// The sum of a metric over all its labels; `None` when the page has no such metric.
fn sum(page: &str, metric: &str) -> Option<f64> {
    let values = page.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let name = series.split('{').next()?;
        (name == metric)
            .then(|| value.parse::<f64>().ok())
            .flatten()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

const TIMEOUT: Duration = Duration::from_secs(2);
const PAGE_BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_labels() {
        let page = "HTTP/1.0 200 OK\r\n\r\n# TYPE parlor_deliveries counter\nparlor_deliveries_total{shard=\"0\"} 40\n\
            parlor_deliveries_total{shard=\"1\"} 2\nparlor_write_wakeups_total 7\nother_deliveries_total 9\n";
        assert_eq!(
            Counters::parse(page),
            Counters {
                deliveries: Some(42.0),
                write_wakeups: Some(7.0),
                ..Counters::default()
            }
        );
        assert_eq!(Counters::parse(""), Counters::default());
    }
}
