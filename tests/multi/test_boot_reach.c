/* test_boot_reach.c - ways to meet: addresses, ports, torchrun's variables, a callback, alone. */
#include "support/boot_meeting.h"

/* ---- ports and addresses --------------------------------------------------------------------- */

static int port_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank, 500);

    (void)arg;
    if (rank != 0)
        return 0;
    fail_with(rank, &cfg, EPX_ERR_SYSTEM);
    RANK_CHECK(strstr(epx_last_error(), plan->address) != NULL);
    RANK_CHECK(strstr(epx_last_error(), "in use") != NULL);
    return 0;
}

static void a_port_in_use_is_named(void **state)
{
    int fd;

    (void)state;
    plan->world = 2;
    plan->port = find_ports();
    fd = listen_on(plan->port);
    snprintf(plan->address, sizeof(plan->address), "127.0.0.1:%d", plan->port);
    assert_int_equal(ranks_run(2, LIMIT_S, port_body, NULL), 0);
    close(fd);
}

static int host_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank, 500);

    (void)arg;
    cfg.address = "no-such-host.invalid:29400";
    fail_with(rank, &cfg, EPX_ERR_SYSTEM);
    RANK_CHECK(strstr(epx_last_error(), "no-such-host.invalid") != NULL);
    RANK_CHECK(strstr(epx_last_error(), "29400") != NULL);
    cfg = by_address(rank, 500);
    cfg.interface = "no-such-interface";
    fail_with(rank, &cfg, EPX_ERR_INVALID);
    return 0;
}

static void a_host_or_interface_that_does_not_exist_is_named(void **state)
{
    (void)state;
    assert_int_equal(run(2, host_body), 0);
}

static int ipv6_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank, BOOT_TIMEOUT_MS);
    epx_boot *boot;

    (void)arg;
    RANK_OK(epx_boot_open(&cfg, &boot));
    RANK_CHECK(strcmp(boot->address, "::1") == 0);
    boot_leave(boot);
    return 0;
}

static void ipv6_addresses_work(void **state)
{
    epx_addr addr;
    bool in_use;
    int fd;

    (void)state;
    assert_int_equal(epx_addr_parse("::1", &addr), EPX_OK);
    if (epx_addr_listen(&addr, &fd, &in_use) != EPX_OK)
        skip();
    close(fd);
    plan->world = 3;
    snprintf(plan->address, sizeof(plan->address), "[::1]:%d", find_ports());
    assert_int_equal(ranks_run(3, LIMIT_S, ipv6_body, NULL), 0);
}

static int torchrun_body(int rank, void *arg)
{
    epx_comm_config cfg = {.struct_size = sizeof(cfg), .timeout_ms = 8000};
    char number[16];
    epx_boot *boot;

    (void)arg;
    snprintf(number, sizeof(number), "%d", rank);
    setenv("RANK", number, 1);
    snprintf(number, sizeof(number), "%d", plan->world);
    setenv("WORLD_SIZE", number, 1);
    snprintf(number, sizeof(number), "%d", plan->port);
    setenv("MASTER_PORT", number, 1);
    setenv("MASTER_ADDR", plan->case_number == 0 ? "127.0.0.1" : "localhost", 1);
    if (rank == 0)
        ranks_sleep_ms(100); /* the others look for it already */
    RANK_OK(epx_boot_open(&cfg, &boot));
    RANK_CHECK(strcmp(boot->launcher, "torchrun") == 0);
    boot_leave(boot);
    return 0;
}

static void under_torchrun_taken_ports_are_passed_over(void **state)
{
    int store, silent;

    (void)state;
    plan->world = 4;
    for (plan->case_number = 0; plan->case_number < 2; plan->case_number++) {
        plan->port = find_ports();
        store = listen_on(plan->port);
        silent = listen_on(plan->port + 1); /* accepts, says nothing */
        assert_int_equal(ranks_run(4, LIMIT_S, torchrun_body, NULL), 0);
        close(store);
        close(silent);
    }
}

/* Two jobs of one user, started with neighbouring MASTER_PORTs, at the same time. */
static int two_jobs_body(int rank, void *arg)
{
    char id[16];

    snprintf(id, sizeof(id), "job%d", rank / 3);
    setenv("TORCHELASTIC_RUN_ID", id, 1);
    return torchrun_body(rank % 3, arg);
}

static void two_jobs_on_neighbouring_ports_do_not_mix(void **state)
{
    (void)state;
    plan->world = 3;
    plan->case_number = 0;
    plan->port = find_ports();
    assert_int_equal(ranks_run(6, LIMIT_S, two_jobs_body, NULL), 0);
}

/* ---- the caller's allgather ------------------------------------------------------------------ */

/* A gather through shared memory, good for a few rounds. */
static int blackboard_gather(void *arg, const void *mine, size_t bytes, void *all)
{
    int rank = *(const int *)arg, i;

    if (bytes > sizeof(plan->blackboard[0]))
        return 7;
    memcpy(plan->blackboard[rank], mine, bytes);
    atomic_fetch_add(&plan->arrived[0], 1);
    while (atomic_load(&plan->arrived[0]) < plan->world)
        ranks_sleep_ms(1);
    for (i = 0; i < plan->world; i++)
        memcpy((uint8_t *)all + (size_t)i * bytes, plan->blackboard[i], bytes);
    if (plan->case_number == 1 && rank == 1)
        memset(all, 0x5a, bytes * (size_t)plan->world);
    return plan->case_number == 2 && rank == 1 ? 42 : 0;
}

static int callback_body(int rank, void *arg)
{
    epx_comm_config cfg = {.struct_size = sizeof(cfg),
                           .rank = rank,
                           .world_size = plan->world,
                           .allgather = blackboard_gather,
                           .allgather_arg = &rank,
                           .timeout_ms = plan->case_number == 0 ? BOOT_TIMEOUT_MS : 600};
    epx_boot *boot;

    (void)arg;
    if (plan->case_number != 0)
        return fail_with(rank, &cfg,
                         rank != 1                ? EPX_ERR_TIMEOUT
                         : plan->case_number == 1 ? EPX_ERR_MISMATCH
                                                  : EPX_ERR_SYSTEM);
    RANK_OK(epx_boot_open(&cfg, &boot));
    RANK_CHECK(boot->keyed && strcmp(boot->launcher, "callback") == 0);
    boot_leave(boot);
    return 0;
}

static void a_callers_allgather_carries_address_and_key(void **state)
{
    (void)state;
    plan->case_number = 0;
    atomic_store(&plan->arrived[0], 0);
    assert_int_equal(run(4, callback_body), 0);
}

static void an_allgather_that_lies_or_fails_is_noticed(void **state)
{
    (void)state;
    for (plan->case_number = 1; plan->case_number < 3; plan->case_number++) {
        atomic_store(&plan->arrived[0], 0);
        assert_int_equal(run(3, callback_body), 0);
        assert_non_null(strstr(plan->sentence[0], "rank 1 did not join"));
    }
    assert_non_null(strstr(plan->sentence[1], "returned 42"));
}

/* ---- alone ----------------------------------------------------------------------------------- */

static void a_world_of_one_needs_nobody(void **state)
{
    epx_comm_config cfg = {.struct_size = sizeof(cfg)};
    uint64_t before = epx_mem_read().live;
    epx_boot *boot;
    epx_notice heard;
    int mine = 5, all = 0;

    (void)state;
    assert_int_equal(epx_boot_open(&cfg, &boot), EPX_OK);
    assert_int_equal(boot->rank, 0);
    assert_int_equal(boot->size, 1);
    assert_int_equal(boot->fd, -1);
    assert_string_equal(boot->launcher, "alone");
    assert_string_equal(boot->interface, "lo");
    assert_int_equal(epx_boot_allgather(boot, &mine, sizeof(mine), &all, 100), EPX_OK);
    assert_int_equal(all, 5);
    assert_false(boot->ops->step(boot));
    assert_false(boot->ops->hear(boot, &heard));
    epx_boot_close(boot, true);
    assert_int_equal(epx_mem_read().live, before);
}

/* ---- running out of things ------------------------------------------------------------------- */

static int memory_body(int rank, void *arg)
{
    epx_comm_config cfg = boot_config(rank, plan->world, job);
    epx_boot *boot = NULL;
    epx_status st;

    (void)arg;
    cfg.timeout_ms = 250;
    if (rank == plan->case_number % 2)
        epx_mem_fail_at((uint64_t)plan->case_number / 2 + 1);
    st = epx_boot_open(&cfg, &boot);
    epx_mem_fail_at(0);
    if (st == EPX_OK)
        epx_boot_close(boot, true);
    epx_job_destroy(job);
    RANK_CHECK(epx_mem_read().live == 0);
    return st == EPX_OK ? 0 : st == EPX_ERR_NO_MEMORY ? 3 : 4;
}

static void every_failed_allocation_ends_without_leak(void **state)
{
    int failures = 0;
    ranks r;

    (void)state;
    plan->world = 2;
    for (plan->case_number = 0; plan->case_number < 24; plan->case_number++) {
        int failing = plan->case_number % 2, other = 1 - failing;

        assert_int_equal(epx_job_create(2, NULL, &job), EPX_OK);
        ranks_start(&r, 2, LIMIT_S, memory_body, NULL);
        ranks_wait(&r);
        epx_job_destroy(job);
        assert_true(r.code[failing] == 0 || r.code[failing] == 3);
        assert_int_equal(r.code[other], r.code[failing] == 0 ? 0 : 4);
        failures += r.code[failing] == 3;
        if (r.code[0] == 0 && r.code[1] == 0 && plan->case_number > 16)
            break;
    }
    assert_true(failures >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(a_host_or_interface_that_does_not_exist_is_named),
        cmocka_unit_test(ipv6_addresses_work),
        cmocka_unit_test(under_torchrun_taken_ports_are_passed_over),
        cmocka_unit_test(two_jobs_on_neighbouring_ports_do_not_mix),
        cmocka_unit_test(a_callers_allgather_carries_address_and_key),
        cmocka_unit_test(an_allgather_that_lies_or_fails_is_noticed),
        cmocka_unit_test(a_world_of_one_needs_nobody),
        cmocka_unit_test(every_failed_allocation_ends_without_leak),
    };

    return cmocka_run_group_tests(tests, make_plan, drop_plan);
}
