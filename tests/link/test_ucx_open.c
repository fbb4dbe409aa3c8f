/* test_ucx_open.c - opening the UCX link where something is missing: the library, a device, memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "comm/link/ucx_api.h"
#include "link/ucx_job.h"

static void a_missing_library_is_named_with_its_package(void **state)
{
    epx_ucx_api api = {0};

    (void)state;
    assert_int_equal(epx_ucx_api_load("libucp-that-nobody-has.so.0", &api), EPX_ERR_UNSUPPORTED);
    assert_string_equal(epx_last_error(), "UCX is not installed: apt install libucx0");
    assert_null(api.library);
    epx_ucx_api_unload(&api);
}

static void a_library_without_the_functions_is_refused(void **state)
{
    epx_ucx_api api = {0};

    (void)state;
    assert_int_equal(epx_ucx_api_load("libm.so.6", &api), EPX_ERR_UNSUPPORTED);
    assert_string_equal(epx_last_error(),
                        "libm.so.6 has no ucp_get_version_string: UCX 1.11 or newer is needed");
    assert_null(api.library);
    assert_int_equal(epx_ucx_api_load("/etc/hostname", &api), EPX_ERR_UNSUPPORTED);
    assert_non_null(strstr(epx_last_error(), "UCX cannot be loaded: /etc/hostname"));
}

/* Rank 1 is told of a device that does not exist. */
static int open_without_device(int rank, void *job)
{
    bool near_ranks[2] = {false};
    epx_link *link = NULL;
    ucx_boot boot;

    ucx_boot_init(&boot, job, rank);
    if (rank == 1) {
        strcpy(boot.base.address, "192.0.2.1");
        strcpy(boot.base.interface, "nosuch0");
    }
    RANK_CHECK(epx_ucx_open(&boot.base, near_ranks, true, 5000, &link) == EPX_ERR_SYSTEM);
    RANK_CHECK(link == NULL && epx_mem_read().live == 0);
    if (rank == 0)
        RANK_CHECK(strncmp(epx_last_error(), "rank 1 could not start UCX", 26) == 0);
    else
        RANK_CHECK(strstr(epx_last_error(), "tcp on device nosuch0") != NULL);
    return 0;
}

static void a_missing_device_is_named_and_all_ranks_fail(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(2, 10, open_without_device, ucx_job_make(2)), 0);
}

/* The users' device wins over the boot's interface, which does not exist. */
static int open_on_users_device(int rank, void *job)
{
    bool near_ranks[1] = {true};
    epx_link *link;
    ucx_boot boot;

    ucx_boot_init(&boot, job, rank);
    strcpy(boot.base.address, "192.0.2.1");
    strcpy(boot.base.interface, "nosuch0");
    setenv("UCX_NET_DEVICES", "lo", 1);
    RANK_OK(epx_ucx_open(&boot.base, near_ranks, true, 5000, &link));
    RANK_CHECK(strcmp(link->ops->name, "ucx") == 0 && !link->ops->mapped);
    ucx_close(link);
    return 0;
}

static void the_users_device_wins(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(1, 10, open_on_users_device, ucx_job_make(1)), 0);
}

static int fail_each_allocation(int rank, void *job)
{
    int32_t peer = 0;
    epx_port_config cfg = {.peers = &peer, .num_peers = 1, .slot_bytes = 64, .depth = 2};
    bool near_ranks[1] = {true};
    epx_port *port = NULL;
    epx_link *link = NULL;
    uint64_t nth, live;
    ucx_boot boot;
    epx_status st;

    ucx_boot_init(&boot, job, rank);
    for (nth = 1;; nth++) {
        epx_mem_fail_at(nth);
        st = epx_ucx_open(&boot.base, near_ranks, true, 1000, &link);
        if (st == EPX_OK)
            break;
        RANK_CHECK(st == EPX_ERR_NO_MEMORY && link == NULL && epx_mem_read().live == 0);
    }
    RANK_CHECK(nth > 5);
    live = epx_mem_read().live;
    for (nth = 1;; nth++) {
        epx_mem_fail_at(nth);
        st = link->ops->port_open(link, &cfg, &port);
        if (st == EPX_OK)
            break;
        RANK_CHECK(st == EPX_ERR_NO_MEMORY && port == NULL && epx_mem_read().live == live);
    }
    epx_mem_fail_at(0);
    RANK_CHECK(nth > 4);
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void a_failed_allocation_leaks_nothing(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(1, 20, fail_each_allocation, ucx_job_make(1)), 0);
}

/* Rank 1 runs out of memory at its n-th allocation; rank 0 hears it, or waits in vain. */
static int fail_one_rank(int rank, void *arg)
{
    ucx_job *job = arg;
    bool near_ranks[2] = {false};
    epx_link *link = NULL;
    ucx_boot boot;
    epx_status st;

    ucx_boot_init(&boot, job, rank);
    if (rank == 1)
        epx_mem_fail_at((uint64_t)atomic_load(&job->words[0]));
    st = epx_ucx_open(&boot.base, near_ranks, true, 300, &link);
    RANK_CHECK(st != EPX_OK && link == NULL && epx_mem_read().live == 0);
    if (rank == 1)
        RANK_CHECK(st == EPX_ERR_NO_MEMORY);
    return 0;
}

static void it_opens_on_all_ranks_or_on_none(void **state)
{
    ucx_job *job;
    int nth;

    (void)state;
    for (nth = 1; nth <= 6; nth++) {
        job = ucx_job_make(2);
        atomic_store(&job->words[0], nth);
        assert_int_equal(ranks_run(2, 10, fail_one_rank, job), 0);
    }
}

static int count_allocations(int rank, void *job)
{
    ucx_boot boot;
    epx_link *link = ucx_open_all_far(ucx_boot_init(&boot, job, rank));
    epx_port *port = ucx_port_with_all(link, 2, 1, 64 * 1024, 4);
    uint64_t before = 0;
    size_t bytes;
    int i;

    ucx_barrier(&boot.base);
    for (i = 0; i < 1100; i++) {
        if (i == 100)
            before = epx_mem_read().allocations;
        (void)ucx_reserve(port, 0);
        RANK_OK(link->ops->put(port, 0, 64 * 1024));
        (void)ucx_peek(port, 0, &bytes);
        RANK_OK(link->ops->release(port, 0));
    }
    RANK_CHECK(epx_mem_read().allocations == before);
    ucx_barrier(&boot.base);
    link->ops->port_close(port);
    ucx_close(link);
    return 0;
}

static void a_thousand_steps_allocate_nothing(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(2, 10, count_allocations, ucx_job_make(2)), 0);
}

/* Two links of one process, opened and closed over each other. */
static int open_twice(int rank, void *job)
{
    ucx_boot boot;
    epx_link *first = ucx_open_all_far(ucx_boot_init(&boot, job, rank)), *second;
    epx_port *port;
    size_t bytes;

    second = ucx_open_all_far(&boot.base);
    port = ucx_port_with_all(second, 2, 1, 64, 1);
    ucx_barrier(&boot.base);
    first->ops->close(first);
    (void)ucx_reserve(port, 0);
    RANK_OK(second->ops->put(port, 0, 3));
    (void)ucx_peek(port, 0, &bytes);
    RANK_CHECK(bytes == 3);
    ucx_run_for(second, 20);
    ucx_barrier(&boot.base);
    second->ops->port_close(port);
    ucx_close(second);
    return 0;
}

static void two_links_live_in_one_process(void **state)
{
    (void)state;
    assert_int_equal(ranks_run(2, 10, open_twice, ucx_job_make(2)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_library_is_named_with_its_package),
        cmocka_unit_test(a_library_without_the_functions_is_refused),
        cmocka_unit_test(a_missing_device_is_named_and_all_ranks_fail),
        cmocka_unit_test(the_users_device_wins),
        cmocka_unit_test(a_failed_allocation_leaks_nothing),
        cmocka_unit_test(it_opens_on_all_ranks_or_on_none),
        cmocka_unit_test(a_thousand_steps_allocate_nothing),
        cmocka_unit_test(two_links_live_in_one_process),
    };
    int skip = ucx_skip();

    return skip != 0 ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
