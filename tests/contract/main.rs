//! One contract, every broker: what `parlor::broker::Broker` promises, each promise a test by its name.
//!
//! `subject` knows the brokers and `listener` watches deliveries as a shard does; the other files hold the
//! promises. A new broker gets a line in `every_broker!` and must pass unchanged. What only a store on disk
//! can promise stands in `disk` and `crash`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::print_stdout,
    reason = "seeds and measurements are for the person who runs them"
)]

mod listener;
mod redis;
mod subject;

mod dedup;
mod epochs;
mod erasing;
mod joining;
mod order;
mod pages;
mod retention;

mod crash;
mod disk;
mod redis_access;
mod redis_answers;
mod redis_bounds;
mod redis_dedup;
mod redis_deposed;
mod redis_ends;
mod redis_erasing;
mod redis_holes;
mod redis_leases;
mod redis_losses;
mod throughput;

/// Makes one test per promise and broker.
macro_rules! every_broker {
    ($($file:ident :: $promise:ident,)*) => {
        one_broker! { embedded_disk, crate::subject::embedded_disk, $($file::$promise,)* }
        one_broker! { embedded_memory, crate::subject::embedded_memory, $($file::$promise,)* }
        one_broker! { redis_standalone, crate::redis::redis, $($file::$promise,)* }
        one_broker! { redis_sentinel, crate::redis::redis_sentinel, $($file::$promise,)* }
        one_broker! { redis_cluster, crate::redis::redis_cluster, $($file::$promise,)* }
    };
}

macro_rules! one_broker {
    ($broker:ident, $factory:path, $($file:ident :: $promise:ident,)*) => {
        mod $broker {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::$file::$promise($factory).await;
            })*
        }
    };
}

every_broker! {
    order::offsets_are_dense_under_concurrency,
    order::calls_on_one_thread_are_logged_in_their_order,
    order::delivery_order_is_log_order,
    order::an_event_is_delivered_before_its_publisher_is_answered,
    order::every_event_of_a_burst_is_delivered_once,
    order::each_entry_repeats_the_tag_of_the_one_before,
    order::time_only_grows_and_seq_counts_messages,
    order::an_event_comes_back_as_it_was_published,
    order::a_dropped_future_does_not_take_the_event_back,
    joining::a_join_never_misses_an_event,
    joining::a_join_before_the_first_event_sees_it,
    dedup::a_retry_gets_the_first_place,
    dedup::a_retry_beside_its_first_stays_single,
    dedup::the_same_id_with_other_content_is_refused,
    dedup::ids_are_unique_per_channel_and_sender,
    dedup::an_id_is_new_again_after_its_window,
    dedup::an_id_is_known_for_its_whole_window_and_no_longer,
    pages::pages_run_in_both_directions,
    pages::pages_are_found_by_time,
    pages::a_page_says_whether_there_is_more,
    pages::a_page_has_a_thousand_entries_at_most,
    pages::a_page_has_about_a_mebibyte_at_most,
    pages::no_limit_is_too_small_or_too_large,
    retention::only_so_many_events_are_retained,
    retention::nothing_retained_still_counts_on,
    retention::events_expire_by_age,
    retention::a_longer_log_is_not_read_beyond_a_smaller_bound,
    epochs::an_unwritten_channel_stands_before_its_first_event,
    epochs::a_channel_keeps_its_epoch,
    erasing::an_erased_event_is_gone_from_history_and_keeps_its_place,
    erasing::an_erasure_is_told_to_whoever_listens,
    erasing::a_chain_of_tags_runs_through_what_was_erased,
    erasing::an_erasure_beside_appends_loses_nothing,
    erasing::erasures_of_one_channel_at_the_same_time_are_all_done,
    erasing::a_retry_of_an_erased_publish_gets_the_first_place,
    erasing::an_erasure_done_again_is_told_once,
    erasing::an_erasure_is_not_erased_itself,
    erasing::what_retention_took_is_only_told,
}
