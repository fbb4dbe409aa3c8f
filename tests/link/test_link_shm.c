/* test_link_shm.c - the link suite over shared memory between processes, and what is special about
 * memory that others write to. */
#include "link/link_suite.h"

#include <signal.h>
#include <unistd.h>

#include "comm/link/shm.h"
#include "comm/link/shm_ring.h"
#include "link/link_processes.h"

static epx_status open_shm(link_seat *seat)
{
    return epx_shm_open(seat->rank, link_all_ranks(), seat->ranks, seat->mesh, LINK_BOOT_MS,
                        &seat->link);
}

static const link_fixture fixture = {.name = "shm",
                                     .max_ranks = LINK_MAX_RANKS,
                                     .mapped = true,
                                     .processes = true,
                                     .loopback = true,
                                     .faults = true,
                                     .lost_ms = 100,
                                     .run = link_processes_run,
                                     .sleep = link_process_sleep,
                                     .now = link_process_now,
                                     .open = open_shm};

static bool names_itself(link_seat *seat)
{
    LINK_CHECK(seat, strcmp(seat->link->ops->name, "shm") == 0);
    LINK_CHECK(seat, seat->link->rank == seat->rank && seat->link->ops->mapped);
    return true;
}

static void the_link_is_named_shm(void **state)
{
    (void)state;
    assert_true(link_processes_run(&fixture, 2, names_itself, -1));
}

/* Rank 1 closes link and sockets while the others listen. */
static bool leave_early(link_seat *seat)
{
    epx_notice notice;

    if (!link_barrier(seat))
        return false;
    if (seat->rank == 1) {
        seat->link->ops->close(seat->link);
        seat->link = NULL;
        epx_mesh_close(seat->mesh);
        seat->mesh = NULL;
        return true;
    }
    link_pause(seat, 50 * EPX_NS_PER_MS);
    LINK_CHECK(seat, !seat->link->ops->hear(seat->link, &notice));
    LINK_CHECK(seat, link_pause(seat, 50 * EPX_NS_PER_MS) < 20); /* and the socket wakes nobody */
    seat->link->ops->ring(seat->link, 1);                        /* nor does it hurt */
    return true;
}

static void a_rank_that_closes_is_not_lost(void **state)
{
    (void)state;
    assert_true(link_processes_run(&fixture, 3, leave_early, -1));
}

static bool disagree(link_seat *seat)
{
    epx_port_config cfg = link_port_config(seat, 50, 64, seat->rank == 1 ? 8 : 4);
    epx_port *port = NULL;

    LINK_CHECK(seat, seat->link->ops->port_open(seat->link, &cfg, &port) == EPX_ERR_MISMATCH);
    LINK_CHECK(seat, strstr(epx_last_error(), "8 slots") || strstr(epx_last_error(), "8 of"));
    cfg.depth = 4;
    LINK_CHECK(seat, seat->link->ops->port_open(seat->link, &cfg, &port) == EPX_OK);
    return link_close_port(seat, port);
}

static void ranks_that_disagree_about_a_port_both_learn_it(void **state)
{
    (void)state;
    assert_true(link_processes_run(&fixture, 2, disagree, -1));
}

static bool disagree_about_bytes(link_seat *seat)
{
    size_t bytes = seat->rank == 1 ? 128 : 64;
    epx_window *window = NULL;

    LINK_CHECK(seat, seat->link->ops->window_open(seat->link, link_all_ranks(), 2, bytes,
                                                  &window) == EPX_ERR_MISMATCH);
    LINK_CHECK(seat, window == NULL);
    return true;
}

static void ranks_that_disagree_about_a_window_both_learn_it(void **state)
{
    (void)state;
    assert_true(link_processes_run(&fixture, 2, disagree_about_bytes, -1));
}

static bool write_nonsense(link_seat *seat)
{
    epx_notice notice;
    epx_port *port;
    size_t bytes;

    if (!link_open_pair(seat, 51, 64, 2, false, &port))
        return false;
    if (seat->rank == 1) {
        LINK_CHECK(seat, seat->link->ops->reserve(port, 0) != NULL);
        LINK_CHECK(seat, seat->link->ops->put(port, 0, 8) == EPX_OK);
        ((epx_shm_port *)port)->out[0].shared->bytes[0] = UINT64_C(1) << 40;
    }
    if (!link_barrier(seat))
        return false;
    if (seat->rank == 0) {
        LINK_CHECK(seat, seat->link->ops->peek(port, 0, &bytes) == NULL);
        LINK_CHECK(seat, seat->link->ops->hear(seat->link, &notice));
        LINK_CHECK(seat, notice.kind == EPX_NOTICE_LOST && notice.rank == 1);
        LINK_CHECK(seat, strstr(notice.text, "nonsense") != NULL);
        LINK_CHECK(seat, !seat->link->ops->hear(seat->link, &notice));
    }
    seat->link->ops->port_close(port);
    return link_barrier(seat);
}

static void nonsense_in_a_ring_makes_its_writer_lost(void **state)
{
    (void)state;
    assert_true(link_processes_run(&fixture, 2, write_nonsense, -1));
}

/* Rank 0 tells more than its page holds, as fast as it can; whatever is heard is whole, in order,
 * and ends with the last one. */
static bool tell_a_lot(link_seat *seat)
{
    const int32_t most = 5000;
    epx_notice notice, expected;
    int32_t i, last = 0;

    for (i = 1; seat->rank == 0 && i <= most; i++) {
        notice = link_notice_of(seat, 0, i);
        seat->link->ops->tell(seat->link, &notice);
    }
    while (seat->rank != 0 && last < most) {
        if (!seat->link->ops->hear(seat->link, &notice)) {
            LINK_CHECK(seat, link_turn(seat, seat->until));
            continue;
        }
        LINK_CHECK(seat, -notice.status > last);
        last = -notice.status;
        expected = link_notice_of(seat, 0, last);
        LINK_CHECK(seat, memcmp(&notice, &expected, sizeof(notice)) == 0);
    }
    return link_barrier(seat);
}

static void a_slow_listener_hears_the_latest_notices_whole(void **state)
{
    (void)state;
    assert_true(link_processes_run(&fixture, 3, tell_a_lot, -1));
}

static bool misuse(link_seat *seat)
{
    const epx_link_ops *ops = seat->link->ops;
    epx_window *window;
    size_t bytes;
    epx_port *port;
    int i;

    LINK_CHECK(seat, ops->window_open(seat->link, link_all_ranks(), 5, 64, &window) ==
                         EPX_ERR_INVALID); /* three of them are not here */
    if (!link_open_pair(seat, 52, 64, 2, false, &port))
        return false;
    for (i = 0; i < 2; i++)
        LINK_CHECK(seat, ops->put(port, 0, 1) == EPX_OK);
    LINK_CHECK(seat, !ops->drained(port));
    LINK_CHECK(seat, ops->put(port, 0, 1) == EPX_ERR_INVALID); /* no slot is free */
    LINK_CHECK(seat, ops->put(port, 1, 1) == EPX_ERR_INVALID); /* no such peer */
    LINK_CHECK(seat, ops->reserve(port, -1) == NULL);
    LINK_CHECK(seat, ops->release(port, 0) == EPX_ERR_INVALID); /* nothing was peeked */
    if (!link_barrier(seat))
        return false;
    for (i = 0; i < 2; i++) {
        while (ops->peek(port, 0, &bytes) == NULL)
            LINK_CHECK(seat, link_turn(seat, seat->until));
        LINK_CHECK(seat, ops->release(port, 0) == EPX_OK);
    }
    LINK_CHECK(seat, ops->release(port, 0) == EPX_ERR_INVALID);
    return link_close_port(seat, port);
}

static void misuse_is_refused(void **state)
{
    (void)state;
    assert_true(link_processes_run(&fixture, 2, misuse, -1));
}

/* Opens a window and a port; with fail_at > 0 that allocation of it fails on rank 1. */
static bool open_both(link_seat *seat, uint64_t fail_at, bool *all_good)
{
    epx_port_config cfg = link_port_config(seat, 53, 64, 2);
    epx_window *window = NULL;
    epx_port *port = NULL;
    epx_status of_window, of_port;
    uint64_t before = link_now(seat);

    if (seat->rank == 1)
        epx_mem_fail_at(fail_at);
    of_window = seat->link->ops->window_open(seat->link, cfg.peers, cfg.num_peers, 4096, &window);
    of_port = seat->link->ops->port_open(seat->link, &cfg, &port);
    epx_mem_fail_at(0);
    LINK_CHECK(seat, link_now(seat) - before < 2000 * EPX_NS_PER_MS);
    LINK_CHECK(seat, (of_window == EPX_OK) == (window != NULL));
    LINK_CHECK(seat, (of_port == EPX_OK) == (port != NULL));
    if (window != NULL)
        seat->link->ops->window_close(window);
    if (port != NULL)
        seat->link->ops->port_close(port);
    *all_good = window != NULL && port != NULL;
    if (seat->rank == 1 && !*all_good)
        LINK_CHECK(seat, of_window == EPX_ERR_NO_MEMORY || of_port == EPX_ERR_NO_MEMORY);
    return true;
}

static bool fail_each_allocation(link_seat *seat)
{
    uint64_t n, live = epx_mem_read().live;
    int fds = link_count_fds();
    bool good = false;

    for (n = 1; n <= 64; n++) {
        if (!open_both(seat, n, &good))
            return false;
        LINK_CHECK(seat, epx_mem_read().live == live && link_count_fds() == fds);
        if (seat->rank == 1 && good)
            atomic_store(&seat->board->words[0], n);
        if (!link_barrier(seat))
            return false;
        if (atomic_load(&seat->board->words[0]) != 0)
            break;
    }
    LINK_CHECK(seat, n > 8 && n < 64);
    return true;
}

static void failed_allocations_of_one_rank_leak_nothing_and_stop_nobody(void **state)
{
    (void)state;
    assert_true(link_processes_run(&fixture, 3, fail_each_allocation, -1));
}

static bool die_in_open(link_seat *seat)
{
    epx_port_config cfg = link_port_config(seat, 54, 64, 2);
    uint64_t before = link_now(seat);
    epx_port *port = NULL;
    epx_status st;

    if (seat->rank == 2)
        raise(SIGKILL);
    st = seat->link->ops->port_open(seat->link, &cfg, &port);
    LINK_CHECK(seat, st == EPX_ERR_PEER_LOST && port == NULL);
    LINK_CHECK(seat, link_now(seat) - before < 1000 * EPX_NS_PER_MS);
    return true;
}

static void a_peer_that_dies_does_not_hang_an_open(void **state)
{
    (void)state;
    assert_true(link_processes_run(&fixture, 3, die_in_open, 2));
}

static size_t resident_bytes(void)
{
    unsigned long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL)
        return SIZE_MAX;
    if (fscanf(file, "%lu %lu", &total, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static bool open_huge(link_seat *seat)
{
    const size_t bytes = (size_t)8 << 30;
    size_t before = resident_bytes();
    epx_window *window;
    unsigned char *base;

    if (!link_open_window(seat, bytes, &window))
        return false;
    base = window->base[1 - seat->rank];
    base[bytes - 1] = (unsigned char)(seat->rank + 1);
    if (!link_barrier(seat))
        return false;
    base = window->base[seat->rank];
    LINK_CHECK(seat, base[bytes - 1] == (unsigned char)(2 - seat->rank));
    LINK_CHECK(seat, resident_bytes() < before + ((size_t)4 << 20));
    seat->link->ops->window_close(window);
    return true;
}

static void a_huge_window_costs_what_is_touched(void **state)
{
    (void)state;
    assert_true(link_processes_run(&fixture, 2, open_huge, -1));
}

/* Every pair of three ranks, then all: each group sees its own memory. */
static bool open_groups(link_seat *seat)
{
    static const int32_t groups[4][3] = {{0, 1, -1}, {0, 2, -1}, {1, 2, -1}, {0, 1, 2}};
    epx_window *window[4] = {NULL};
    int32_t size, g, i, member;

    for (g = 0; g < 4; g++) {
        size = groups[g][2] < 0 ? 2 : 3;
        for (i = 0, member = 0; i < size; i++)
            member |= groups[g][i] == seat->rank;
        if (member == 0)
            continue;
        LINK_CHECK(seat, seat->link->ops->window_open(seat->link, groups[g], size, 64,
                                                      &window[g]) == EPX_OK);
        for (i = 0; i < size; i++)
            if (groups[g][i] == seat->rank)
                *(_Atomic int32_t *)window[g]->base[i] = 100 * g + seat->rank + 1;
    }
    if (!link_barrier(seat))
        return false;
    for (g = 0; g < 4; g++)
        for (i = 0; window[g] != NULL && i < window[g]->num_peers; i++)
            LINK_CHECK(seat, *(_Atomic int32_t *)window[g]->base[i] == 100 * g + groups[g][i] + 1);
    for (g = 0; g < 4; g++)
        if (window[g] != NULL)
            seat->link->ops->window_close(window[g]);
    return link_barrier(seat);
}

static void groups_have_windows_of_their_own(void **state)
{
    (void)state;
    assert_true(link_processes_run(&fixture, 3, open_groups, -1));
}

int main(void)
{
    const struct CMUnitTest more[] = {
        cmocka_unit_test(the_link_is_named_shm),
        cmocka_unit_test(a_rank_that_closes_is_not_lost),
        cmocka_unit_test(ranks_that_disagree_about_a_port_both_learn_it),
        cmocka_unit_test(ranks_that_disagree_about_a_window_both_learn_it),
        cmocka_unit_test(nonsense_in_a_ring_makes_its_writer_lost),
        cmocka_unit_test(a_slow_listener_hears_the_latest_notices_whole),
        cmocka_unit_test(misuse_is_refused),
        cmocka_unit_test(failed_allocations_of_one_rank_leak_nothing_and_stop_nobody),
        cmocka_unit_test(a_peer_that_dies_does_not_hang_an_open),
        cmocka_unit_test(a_huge_window_costs_what_is_touched),
        cmocka_unit_test(groups_have_windows_of_their_own),
    };

    return link_suite(&fixture, more, sizeof(more) / sizeof(more[0]));
}
