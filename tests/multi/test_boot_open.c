/* test_boot_open.c - meeting: by job, by address, by torchrun's variables, by a callback; and what
 * everybody hears when it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdatomic.h>

#include "comm/boot/addr.h"
#include "comm/boot/message.h"
#include "comm/boot/open.h"
#include "support/boots.h"

#define LIMIT_S 20

typedef struct shared {
    int world;
    int port; /* free ones start here */
    char address[80];
    char key_path[2][64];
    int case_number;
    char sentence[8][256]; /* what each rank's failure was */
    atomic_int arrived[64];
    uint8_t blackboard[16][1024];
} shared;

static shared *plan;
static epx_job *job;

/* A port that is free, with 17 free ones above it, as far as one can know. */
static int find_ports(void)
{
    static int next = 21000;
    epx_addr addr;
    int first, i, fd;
    bool in_use;

    assert_int_equal(epx_addr_parse("127.0.0.1", &addr), EPX_OK);
    for (first = next + (int)getpid() % 500 * 20; first < 32000; first += 20) {
        for (i = 0; i < 18; i++) {
            epx_addr_set_port(&addr, (uint16_t)(first + i));
            if (epx_addr_listen(&addr, &fd, &in_use) != EPX_OK)
                break;
            close(fd);
        }
        if (i == 18)
            break;
    }
    next += 20;
    return first;
}

static int listen_on(int port)
{
    epx_addr addr;
    bool in_use;
    int fd;

    assert_int_equal(epx_addr_parse("127.0.0.1", &addr), EPX_OK);
    epx_addr_set_port(&addr, (uint16_t)port);
    assert_int_equal(epx_addr_listen(&addr, &fd, &in_use), EPX_OK);
    return fd;
}

static epx_comm_config by_address(int rank, uint32_t timeout_ms)
{
    return (epx_comm_config){.struct_size = sizeof(epx_comm_config),
                             .rank = rank,
                             .world_size = plan->world,
                             .address = plan->address,
                             .timeout_ms = timeout_ms};
}

static int run(int world, ranks_body body)
{
    plan->world = world;
    plan->port = find_ports();
    snprintf(plan->address, sizeof(plan->address), "127.0.0.1:%d", plan->port);
    memset(plan->sentence, 0, sizeof(plan->sentence));
    return ranks_run(world, LIMIT_S, body, NULL);
}

/* Every rank but `except` has told the same sentence, with these words in it. */
static void assert_told(int except, const char *a, const char *b)
{
    int i, first = except == 0 ? 1 : 0;

    for (i = 0; i < plan->world; i++) {
        if (i == except)
            continue;
        assert_string_equal(plan->sentence[i], plan->sentence[first]);
        assert_non_null(strstr(plan->sentence[i], a));
        assert_non_null(strstr(plan->sentence[i], b));
    }
}

static int fail_with(int rank, const epx_comm_config *cfg, epx_status expected)
{
    epx_boot *boot = NULL;
    epx_status st = epx_boot_open(cfg, &boot);

    snprintf(plan->sentence[rank], sizeof(plan->sentence[rank]), "%s", epx_last_error());
    RANK_CHECK(st == expected);
    RANK_CHECK(boot == NULL);
    RANK_CHECK(epx_mem_read().live == 0);
    return 0;
}

/* ---- who is missing, who is wrong ------------------------------------------------------------ */

static int missing_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank, 400);
    uint64_t began = epx_clock_ns();

    (void)arg;
    if (rank == 2)
        return 0;
    fail_with(rank, &cfg, EPX_ERR_TIMEOUT);
    RANK_CHECK(epx_clock_ns() - began < 650 * EPX_NS_PER_MS);
    return 0;
}

static void a_rank_that_never_comes_is_named_by_all(void **state)
{
    (void)state;
    assert_int_equal(run(4, missing_body), 0);
    assert_told(2, "rank 2 did not join", "400 ms");
}

static int early_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank, rank == 1 ? 300 : 5000);

    (void)arg;
    return rank == 2 ? 0 : fail_with(rank, &cfg, EPX_ERR_TIMEOUT);
}

static void the_first_deadline_ends_it_for_all(void **state)
{
    double began = ranks_now_s();

    (void)state;
    assert_int_equal(run(4, early_body), 0);
    assert_true(ranks_now_s() - began < 2.0);
    assert_told(2, "rank 2 did not join", "");
}

static int no_host_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank, 300);

    (void)arg;
    if (rank != 0) {
        fail_with(rank, &cfg, EPX_ERR_TIMEOUT);
        RANK_CHECK(strstr(epx_last_error(), "rank 0") != NULL);
        RANK_CHECK(strstr(epx_last_error(), plan->address) != NULL);
    }
    return 0;
}

static void a_missing_rank_0_is_named_with_its_address(void **state)
{
    (void)state;
    assert_int_equal(run(2, no_host_body), 0);
}

static int version_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank, BOOT_TIMEOUT_MS);
    uint32_t library = EPX_VERSION, wire = EPX_WIRE_VERSION;
    epx_boot *boot;

    (void)arg;
    if (rank == 2 && plan->case_number == 0)
        library = 999;
    if (rank == 2 && plan->case_number == 1)
        wire = 77;
    RANK_CHECK(epx_boot_open_as(&cfg, library, wire, &boot) == EPX_ERR_MISMATCH);
    snprintf(plan->sentence[rank], sizeof(plan->sentence[rank]), "%s", epx_last_error());
    return 0;
}

static void different_versions_are_told_to_all_with_both_values(void **state)
{
    (void)state;
    plan->case_number = 0;
    assert_int_equal(run(4, version_body), 0);
    assert_told(-1, "library version", "rank 2 has 999");
    assert_told(-1, "library version", "rank 0 has 100");
    plan->case_number = 1;
    assert_int_equal(run(4, version_body), 0);
    assert_told(-1, "wire version", "rank 2 has 77");
}

static int world_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank, BOOT_TIMEOUT_MS);

    (void)arg;
    if (rank == 1)
        cfg.world_size = 5;
    return fail_with(rank, &cfg, EPX_ERR_MISMATCH);
}

static void different_world_sizes_are_told_to_all(void **state)
{
    (void)state;
    assert_int_equal(run(3, world_body), 0);
    assert_told(-1, "rank 0 has 3", "rank 1 has 5");
}

static int twin_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank == 2 ? 1 : rank, BOOT_TIMEOUT_MS);

    (void)arg;
    return fail_with(rank, &cfg, EPX_ERR_MISMATCH);
}

static void two_processes_with_one_number_are_told_to_all(void **state)
{
    (void)state;
    assert_int_equal(run(4, twin_body), 0);
    assert_told(-1, "two processes", "rank 1");
}

static int killed_body(int rank, void *arg)
{
    epx_comm_config cfg = boot_config(rank, plan->world, job);
    epx_boot *boot;

    (void)arg;
    if (rank != 3) { /* never comes, so the others are caught in the meeting */
        RANK_CHECK(epx_boot_open(&cfg, &boot) == EPX_ERR_PEER_LOST);
        RANK_CHECK(strstr(epx_last_error(), plan->case_number == 0 ? "rank 0" : "rank 2") != NULL);
    }
    epx_job_destroy(job);
    RANK_CHECK(epx_mem_read().live == 0);
    return 0;
}

static void kill_in_meeting(int victim)
{
    double began;
    ranks r;
    int i;

    plan->world = 4;
    plan->case_number = victim;
    assert_int_equal(epx_job_create(4, NULL, &job), EPX_OK);
    ranks_start(&r, 4, LIMIT_S, killed_body, NULL);
    ranks_sleep_ms(300);
    began = ranks_now_s();
    ranks_kill(&r, victim, SIGKILL);
    ranks_wait(&r);
    epx_job_destroy(job);
    for (i = 0; i < 4; i++)
        assert_int_equal(r.code[i], i == victim ? 128 + SIGKILL : 0);
    assert_true(ranks_now_s() - began < 1.0);
}

static void a_rank_killed_in_the_meeting_ends_it_for_all(void **state)
{
    (void)state;
    kill_in_meeting(2);
    kill_in_meeting(0);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static int key_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank, 1500);
    epx_boot *boot;

    (void)arg;
    setenv("EPX_JOB_KEY_FILE", plan->key_path[0], 1);
    RANK_OK(epx_boot_open(&cfg, &boot));
    RANK_CHECK(boot->keyed);
    boot_leave(boot);
    return 0;
}

static void a_job_with_a_key_file_meets(void **state)
{
    (void)state;
    assert_int_equal(run(3, key_body), 0);
}

static int wrong_key_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank, 700);

    (void)arg;
    if (rank != 2 || plan->case_number == 0)
        setenv("EPX_JOB_KEY_FILE", plan->key_path[rank == 2], 1);
    fail_with(rank, &cfg, rank == 2 ? EPX_ERR_AUTH : EPX_ERR_TIMEOUT);
    RANK_CHECK(rank != 2 || strstr(epx_last_error(), "key") != NULL);
    return 0;
}

static void a_rank_with_another_key_or_none_stays_outside(void **state)
{
    (void)state;
    plan->case_number = 0;
    assert_int_equal(run(3, wrong_key_body), 0);
    assert_told(2, "rank 2 did not join", "");
    plan->case_number = 1;
    assert_int_equal(run(3, wrong_key_body), 0);
    assert_non_null(strstr(plan->sentence[2], "this rank has none"));
}

static int keyless_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank, BOOT_TIMEOUT_MS);
    uint8_t keys[3][EPX_KEY_BYTES];
    epx_boot *boot;

    (void)arg;
    RANK_OK(epx_boot_open(&cfg, &boot));
    RANK_CHECK(!boot->keyed);
    RANK_OK(epx_boot_allgather(boot, boot->key, EPX_KEY_BYTES, keys, BOOT_TIMEOUT_MS));
    RANK_CHECK(memcmp(keys[0], keys[1], EPX_KEY_BYTES) == 0); /* the cookie is everybody's */
    RANK_CHECK(memcmp(keys[0], keys[2], EPX_KEY_BYTES) == 0);
    boot_leave(boot);
    return 0;
}

static void a_job_without_key_meets_by_its_cookie(void **state)
{
    (void)state;
    assert_int_equal(run(3, keyless_body), 0);
}

static int require_body(int rank, void *arg)
{
    epx_comm_config cfg = by_address(rank, BOOT_TIMEOUT_MS);

    (void)arg;
    setenv("EPX_SECURITY", "require", 1);
    fail_with(rank, &cfg, EPX_ERR_AUTH);
    RANK_CHECK(strstr(epx_last_error(), "EPX_JOB_KEY_FILE") != NULL);
    return 0;
}

static void security_require_refuses_to_meet_without_key(void **state)
{
    double began = ranks_now_s();

    (void)state;
    assert_int_equal(run(2, require_body), 0);
    assert_true(ranks_now_s() - began < 1.0);
}

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

static int make_plan(void **state)
{
    int i, j;

    (void)state;
    setenv("EPX_LOG", "error", 1);
    plan = ranks_shared(sizeof(*plan));
    for (i = 0; i < 2; i++) {
        int fd;

        snprintf(plan->key_path[i], sizeof(plan->key_path[i]), "/tmp/epx-key-XXXXXX");
        fd = mkstemp(plan->key_path[i]);
        if (fd < 0)
            return -1;
        for (j = 0; j < EPX_KEY_BYTES; j++)
            if (write(fd, &"kK"[i], 1) != 1)
                return -1;
        close(fd);
    }
    return 0;
}

static int drop_plan(void **state)
{
    (void)state;
    unlink(plan->key_path[0]);
    unlink(plan->key_path[1]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_that_never_comes_is_named_by_all),
        cmocka_unit_test(the_first_deadline_ends_it_for_all),
        cmocka_unit_test(a_missing_rank_0_is_named_with_its_address),
        cmocka_unit_test(different_versions_are_told_to_all_with_both_values),
        cmocka_unit_test(different_world_sizes_are_told_to_all),
        cmocka_unit_test(two_processes_with_one_number_are_told_to_all),
        cmocka_unit_test(a_rank_killed_in_the_meeting_ends_it_for_all),
        cmocka_unit_test(a_job_with_a_key_file_meets),
        cmocka_unit_test(a_rank_with_another_key_or_none_stays_outside),
        cmocka_unit_test(a_job_without_key_meets_by_its_cookie),
        cmocka_unit_test(security_require_refuses_to_meet_without_key),
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
