//! The command line for people, where the server that it talks to does not behave.

use parlor_tests::{Cli, in_time};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_follower_that_comes_back_to_a_silent_server_ends_at_ctrl_c() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let follower = Cli::run(&["subscribe", "disk:a", "--url", &url]);
    let lost = in_time("a connection", listener.accept()).await.unwrap();
    drop(lost);
    // It is taken, and nothing is ever said on it.
    let _silent = in_time("another", listener.accept()).await.unwrap();
    follower.interrupt();
    let (is_done, errors) = follower.end().await;
    assert!(is_done, "{errors}");
}
