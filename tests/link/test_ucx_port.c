/* test_ucx_port.c - chunks and credits over UCX, and ports that end before their traffic does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "comm/link/ucx_port.h"
#include "core/rng.h"
#include "link/ucx_job.h"

static void fill(unsigned char *chunk, size_t bytes, uint64_t number)
{
    size_t i;

    for (i = 0; i < bytes; i++)
        chunk[i] = (unsigned char)(number * 31 + i * 7 + (i >> 8));
}

static bool is_filled(const unsigned char *chunk, size_t bytes, uint64_t number)
{
    size_t i;

    for (i = 0; i < bytes; i++)
        if (chunk[i] != (unsigned char)(number * 31 + i * 7 + (i >> 8)))
            return false;
    return true;
}

/* The size of a chunk, equal on both sides: often 0, often full. */
static size_t size_of(uint64_t seed, size_t slot_bytes)
{
    uint64_t kind = epx_rng_below(&seed, 4);

    return kind == 0 ? 0 : kind == 1 ? slot_bytes : epx_rng_below(&seed, slot_bytes + 1);
}

enum { CHUNKS = 300, SLOT = 48 * 1024 };

/* Every rank sends CHUNKS chunks to every other, whenever there is room. */
static int exchange(int rank, void *arg)
{
    ucx_job *job = arg;
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    epx_port *port = ucx_port_with_all(link, job->size, 5, SLOT, 4);
    uint64_t sent[UCX_JOB_MAX] = {0}, got[UCX_JOB_MAX] = {0}, left, n = 0;
    size_t bytes;
    void *chunk;
    int i;

    ucx_barrier(&boot.base);
    for (left = 2u * CHUNKS * (unsigned)(job->size - 1); left > 0;) {
        i = (int)(n++ % (unsigned)(job->size - 1));
        if (sent[i] < CHUNKS && (chunk = link->ops->reserve(port, i)) != NULL) {
            bytes = size_of(sent[i] + 1000, SLOT);
            fill(chunk, bytes, sent[i]++);
            RANK_OK(link->ops->put(port, i, bytes));
            left--;
        }
        if ((chunk = link->ops->peek(port, i, &bytes)) != NULL) {
            RANK_CHECK(bytes == size_of(got[i] + 1000, SLOT) && is_filled(chunk, bytes, got[i]));
            got[i]++;
            RANK_OK(link->ops->release(port, i));
            left--;
        }
        ucx_turn(link, 1);
    }
    while (!link->ops->drained(port))
        ucx_turn(link, 1);
    ucx_barrier(&boot.base);
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void chunks_of_any_size_arrive_whole_and_in_order(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(3, 20, exchange, ucx_job_make(3)), 0);
}

static int count_credits(int rank, void *job)
{
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    epx_port *port = ucx_port_with_all(link, 2, 5, 4096, 4);
    size_t bytes;
    int i;

    ucx_barrier(&boot.base);
    for (i = 0; rank == 0 && i < 4; i++) {
        (void)ucx_reserve(port, 0);
        RANK_OK(link->ops->put(port, 0, 100));
    }
    ucx_run_for(link, 50);
    if (rank == 0) {
        RANK_CHECK(link->ops->reserve(port, 0) == NULL); /* arrived, but not released */
        RANK_CHECK(link->ops->put(port, 0, 100) == EPX_ERR_INVALID);
        RANK_CHECK(link->ops->drained(port));
    }
    ucx_barrier(&boot.base);
    for (i = 0; rank == 1 && i < 2; i++) {
        RANK_CHECK(link->ops->peek(port, 0, &bytes) != NULL);
        RANK_OK(link->ops->release(port, 0));
    }
    ucx_run_for(link, 50);
    for (i = 0; rank == 0 && i < 2; i++) {
        RANK_CHECK(link->ops->reserve(port, 0) != NULL);
        RANK_OK(link->ops->put(port, 0, 100));
    }
    RANK_CHECK(rank == 1 || link->ops->reserve(port, 0) == NULL);
    for (i = 0; rank == 1 && i < 4; i++) {
        (void)ucx_peek(port, 0, &bytes);
        RANK_OK(link->ops->release(port, 0));
    }
    RANK_CHECK(rank == 0 || link->ops->release(port, 0) == EPX_ERR_INVALID);
    ucx_run_for(link, 20);
    ucx_barrier(&boot.base);
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void credits_come_back_when_half_the_ring_is_released(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(2, 10, count_credits, ucx_job_make(2)), 0);
}

/* As if `number` chunks had gone from rank 0 to rank 1. */
static void wind(epx_port *base, int rank, uint64_t number)
{
    epx_ucx_ring *ring = &((epx_ucx_port *)base)->rings[0];
    uint32_t i;

    if (rank == 0)
        ring->sent = ring->credited = number;
    else
        ring->released = ring->told = number;
    for (i = 0; rank == 1 && i < base->config.depth; i++)
        ring->slots[i].sequence = (uint16_t)(ring->slots[i].sequence + number);
}

/* The smallest ring: every chunk needs the credit of the one before. */
static int alternate(int rank, void *job)
{
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    epx_port *port = ucx_port_with_all(link, 2, 5, 64, 1);
    size_t bytes;
    int i;

    wind(port, rank, 65000);
    ucx_barrier(&boot.base);
    for (i = 0; i < 2000; i++) { /* past the 16 bits of the tag */
        if (rank == 0) {
            *(int *)ucx_reserve(port, 0) = i;
            RANK_OK(link->ops->put(port, 0, sizeof(i)));
        } else {
            RANK_CHECK(*(int *)ucx_peek(port, 0, &bytes) == i && bytes == sizeof(i));
            RANK_OK(link->ops->release(port, 0));
        }
    }
    ucx_barrier(&boot.base);
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void a_ring_of_one_slot_runs_past_the_numbers_in_the_tag(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(2, 30, alternate, ucx_job_make(2)), 0);
}

/* The reader answers each chunk; the answer is all the credit there is. */
static int self_clocked(int rank, void *job)
{
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    int32_t peer = 1 - rank;
    epx_port_config cfg = {.id = 1, .peers = &peer, .num_peers = 1, .slot_bytes = 64, .depth = 1};
    epx_port *port;
    size_t bytes;
    int i;

    cfg.self_clocked = true;
    RANK_OK(link->ops->port_open(link, &cfg, &port));
    ucx_barrier(&boot.base);
    for (i = 0; i < 4000; i++)
        if (i % 2 == rank) {
            *(int *)ucx_reserve(port, 0) = i;
            RANK_OK(link->ops->put(port, 0, sizeof(i)));
        } else {
            RANK_CHECK(*(int *)ucx_peek(port, 0, &bytes) == i && bytes == sizeof(i));
            RANK_OK(link->ops->release(port, 0));
        }
    ucx_barrier(&boot.base);
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void a_self_clocked_port_needs_no_credits(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(2, 10, self_clocked, ucx_job_make(2)), 0);
}

static int talk_to_oneself(int rank, void *job)
{
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    int32_t peer = 0;
    epx_port_config cfg = {.id = 1, .peers = &peer, .num_peers = 1, .slot_bytes = SLOT, .depth = 3};
    epx_port *port;
    size_t bytes;
    uint64_t i;

    RANK_OK(link->ops->port_open(link, &cfg, &port));
    for (i = 0; i < 100; i++) {
        fill(ucx_reserve(port, 0), SLOT, i);
        RANK_OK(link->ops->put(port, 0, SLOT));
        RANK_CHECK(is_filled(ucx_peek(port, 0, &bytes), SLOT, i) && bytes == SLOT);
        RANK_OK(link->ops->release(port, 0));
    }
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void a_port_may_contain_oneself(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(1, 10, talk_to_oneself, ucx_job_make(1)), 0);
}

static int hear_corrupt(int rank, void *job)
{
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    epx_port *port = ucx_port_with_all(link, 2, 5, 64, 2);
    epx_port *wide = ucx_port_with_all(link, 2, 6, rank == 0 ? 256 : 128, 2);
    epx_notice notice;
    size_t bytes;

    ucx_barrier(&boot.base);
    if (rank == 0) {
        ((epx_ucx_port *)port)->rings[0].sent = 1; /* as if chunk 0 had been lost */
        (void)ucx_reserve(port, 0);
        RANK_OK(link->ops->put(port, 0, 8));
        (void)ucx_reserve(wide, 0);
        RANK_OK(link->ops->put(wide, 0, 129));
        ucx_run_for(link, 20);
    } else {
        RANK_CHECK(ucx_hear(link, &notice, 3000));
        RANK_CHECK(notice.kind == EPX_NOTICE_ABORT && notice.status == EPX_ERR_CORRUPT);
        RANK_CHECK(notice.from == 1 && notice.rank == 0);
        RANK_CHECK(strcmp(notice.text, "rank 0 sent chunk 1 of port 5, expected 0") == 0);
        RANK_CHECK(link->ops->peek(port, 0, &bytes) == NULL);
        RANK_CHECK(ucx_hear(link, &notice, 3000));
        RANK_CHECK(notice.status == EPX_ERR_CORRUPT);
        RANK_CHECK(strcmp(notice.text, "rank 0 sent more than 128 bytes to port 6") == 0);
        RANK_CHECK(link->ops->peek(wide, 0, &bytes) == NULL);
    }
    ucx_barrier(&boot.base);
    link->ops->port_close(port);
    link->ops->port_close(wide);
    ucx_close(link);
    return 0;
}

static void a_wrong_number_or_size_is_heard_as_corrupt(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(2, 10, hear_corrupt, ucx_job_make(2)), 0);
}

/* A chunk that was under way when its port closed does not reach the port's successor. */
static int reopen(int rank, void *job)
{
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    epx_port *port = ucx_port_with_all(link, 2, 5, 32 * 1024, 2);
    size_t bytes;

    if (rank == 1)
        link->ops->port_close(port);
    ucx_barrier(&boot.base);
    if (rank == 0) {
        fill(ucx_reserve(port, 0), 32 * 1024, 1);
        RANK_OK(link->ops->put(port, 0, 32 * 1024));
    }
    ucx_run_for(link, 50);
    if (rank == 0)
        link->ops->port_close(port);
    port = ucx_port_with_all(link, 2, 5, 32 * 1024, 2);
    ucx_barrier(&boot.base);
    if (rank == 0) {
        fill(ucx_reserve(port, 0), 100, 2);
        RANK_OK(link->ops->put(port, 0, 100));
    } else {
        RANK_CHECK(is_filled(ucx_peek(port, 0, &bytes), 100, 2) && bytes == 100);
    }
    ucx_run_for(link, 20);
    ucx_barrier(&boot.base);
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void chunks_for_a_closed_port_are_dropped(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(2, 10, reopen, ucx_job_make(2)), 0);
}

/* The peer stops reading; more is put than sockets hold. */
static int close_under_way(int rank, void *arg)
{
    ucx_job *job = arg;
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    int32_t peer = 1 - rank;
    epx_port_config cfg = {.id = 1, .peers = &peer, .num_peers = 1, .depth = 64};
    epx_port *port;
    uint64_t begin;
    int i;

    cfg.slot_bytes = 1 << 20;
    cfg.self_clocked = true;
    RANK_OK(link->ops->port_open(link, &cfg, &port));
    ucx_run_for(link, 20);
    ucx_barrier(&boot.base);
    if (rank == 1) {
        raise(SIGSTOP);
        return 1;
    }
    ranks_sleep_ms(50);
    for (i = 0; i < 64; i++) {
        memset(ucx_reserve(port, 0), i, cfg.slot_bytes);
        RANK_OK(link->ops->put(port, 0, cfg.slot_bytes));
        ucx_turn(link, 1);
    }
    RANK_CHECK(!link->ops->drained(port));
    begin = epx_clock_ns();
    link->ops->port_close(port);
    RANK_CHECK(epx_clock_ns() - begin < 100 * EPX_NS_PER_MS);
    RANK_CHECK(epx_mem_read().live_bytes > (64u << 20)); /* UCX still reads from it */
    begin = epx_clock_ns();
    ucx_close(link);
    RANK_CHECK(epx_clock_ns() - begin < 2000 * EPX_NS_PER_MS);
    return 0;
}

static void closing_does_not_wait_for_a_peer_that_is_stuck(void **state)
{
    ranks r;

    (void)state;
    ranks_start(&r, 2, 10, close_under_way, ucx_job_make(2));
    while (ranks_poll(&r) > 1 && ranks_now_s() - r.started_s < 9)
        ranks_sleep_ms(5);
    ranks_kill(&r, 1, SIGKILL);
    ranks_wait(&r);
    assert_int_equal(r.code[0], 0);
    assert_int_equal(r.code[1], 128 + SIGKILL);
}

static int refuse(int rank, void *job)
{
    bool near_ranks[3] = {true, true, false};
    int32_t peers[2] = {1, 2};
    epx_port_config cfg = {.peers = peers, .num_peers = 2, .slot_bytes = 64, .depth = 1};
    epx_port *port = NULL;
    epx_link *link;
    ucx_boot boot;

    RANK_OK(epx_ucx_open(ucx_boot_init(&boot, job, rank), near_ranks, true, 5000, &link));
    if (rank == 0) {
        RANK_CHECK(link->ops->port_open(link, &cfg, &port) == EPX_ERR_INVALID);
        RANK_CHECK(strstr(epx_last_error(), "rank 1") != NULL);
        peers[0] = 2;
        peers[1] = 3;
        RANK_CHECK(link->ops->port_open(link, &cfg, &port) == EPX_ERR_INVALID);
        RANK_CHECK(strstr(epx_last_error(), "rank 3") != NULL);
        cfg.num_peers = 1;
        cfg.depth = 64;
        cfg.slot_bytes = SIZE_MAX / 64 - 63;
        RANK_CHECK(link->ops->port_open(link, &cfg, &port) == EPX_ERR_OVERFLOW);
        cfg.slot_bytes = 64;
        RANK_CHECK(port == NULL);
        RANK_OK(link->ops->port_open(link, &cfg, &port));
        RANK_CHECK(link->ops->port_open(link, &cfg, &port) == EPX_ERR_INVALID);
        RANK_CHECK(strstr(epx_last_error(), "port 0 is open already") != NULL);
        (void)ucx_reserve(port, 0);
        RANK_CHECK(link->ops->put(port, 0, 65) == EPX_ERR_INVALID);
        link->ops->port_close(port);
    }
    ucx_barrier(&boot.base);
    ucx_close(link);
    return 0;
}

static void wrong_arguments_are_named(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(3, 10, refuse, ucx_job_make(3)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_of_any_size_arrive_whole_and_in_order),
        cmocka_unit_test(credits_come_back_when_half_the_ring_is_released),
        cmocka_unit_test(a_ring_of_one_slot_runs_past_the_numbers_in_the_tag),
        cmocka_unit_test(a_self_clocked_port_needs_no_credits),
        cmocka_unit_test(a_port_may_contain_oneself),
        cmocka_unit_test(a_wrong_number_or_size_is_heard_as_corrupt),
        cmocka_unit_test(chunks_for_a_closed_port_are_dropped),
        cmocka_unit_test(closing_does_not_wait_for_a_peer_that_is_stuck),
        cmocka_unit_test(wrong_arguments_are_named),
    };
    int skip = ucx_skip();

    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
