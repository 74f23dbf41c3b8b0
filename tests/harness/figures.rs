//! A server's metrics, as an operator's scraper reads them.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::patience::{PATIENCE, in_time};

/// The metrics page of one server.
#[derive(Clone, Copy, Debug)]
pub struct Figures(SocketAddr);

impl Figures {
    /// Of the server whose metrics listener is there.
    pub fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// The value of a metric, by its whole name: with its labels, where it has any.
    ///
    /// # Panics
    /// When the page does not come or does not show it.
    pub async fn read(&self, name: &str) -> u64 {
        let page = in_time("the metrics page", self.page())
            .await
            .expect("the metrics page is there");
        value(&page, name).unwrap_or_else(|| panic!("no {name} in {page}"))
    }

    /// The same, or nothing where no page comes, or none that shows it.
    pub async fn try_read(&self, name: &str) -> Option<u64> {
        let page = tokio::time::timeout(PATIENCE, self.page()).await;
        value(&page.ok()?.ok()?, name)
    }

    /// Reads until the metric has this value.
    ///
    /// # Panics
    /// When it does not get there in time.
    pub async fn reach(&self, name: &str, value: u64) {
        let what = format!("{name} = {value}");
        self.until(name, &what, |read| read == value).await;
    }

    /// Reads until the metric has grown beyond this value.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn pass(&self, name: &str, value: u64) {
        let what = format!("{name} > {value}");
        self.until(name, &what, |read| read > value).await;
    }

    async fn until(&self, name: &str, what: &str, is_there: impl Fn(u64) -> bool) {
        let there = async {
            while !is_there(self.read(name).await) {
                tokio::task::yield_now().await;
            }
        };
        in_time(what, there).await;
    }

    async fn page(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.0).await?;
        // HTTP/1.0: the answer ends with the connection.
        let request = format!("GET /metrics HTTP/1.0\r\nHost: {}\r\n\r\n", self.0);
        stream.write_all(request.as_bytes()).await?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await?;
        Ok(page)
    }
}

fn value(page: &str, name: &str) -> Option<u64> {
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    let value = value.trim();
    // The sum of a histogram has a fraction, also where it counts things.
    value.strip_suffix(".0").unwrap_or(value).parse().ok()
}
