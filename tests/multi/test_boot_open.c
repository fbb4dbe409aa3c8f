/* test_boot_open.c - who is missing, who is wrong, who has which key: what everybody hears. */
#include "support/boot_meeting.h"

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
    };

    return cmocka_run_group_tests(tests, make_plan, drop_plan);
}
