/* test_boot_loss.c - an open star of forked ranks: losses, farewells, crowds. */
#include "support/boot_star.h"

/* ---- losses ---------------------------------------------------------------------------------- */

static int loss_body(int rank, void *arg)
{
    epx_boot *boot = open_here(rank);
    epx_notice heard;
    uint64_t took;

    (void)arg;
    boot_barrier(boot);
    atomic_fetch_add(&plan->ready, 1);
    if (rank == plan->victim)
        for (;;)
            boot_hear(boot, &heard, 1000);
    RANK_CHECK(boot_hear(boot, &heard, 5000));
    took = epx_clock_ns() - atomic_load(&plan->killed_ns);
    RANK_CHECK(heard.kind == EPX_NOTICE_LOST && heard.rank == plan->victim);
    RANK_CHECK(heard.status == EPX_ERR_PEER_LOST);
    RANK_CHECK(took < 100 * EPX_NS_PER_MS);
    while (boot_hear(boot, &heard, 50)) /* others close; but the victim is lost only once */
        RANK_CHECK(heard.rank != plan->victim);
    RANK_CHECK(epx_boot_allgather(boot, NULL, 0, NULL, 1000) == EPX_ERR_PEER_LOST);
    epx_boot_close(boot, false);
    RANK_CHECK(epx_mem_read().live == 0);
    return 0;
}

static void kill_one_of(int world, int victim)
{
    ranks r;
    int i;

    plan->world = world;
    plan->victim = victim;
    atomic_store(&plan->ready, 0);
    assert_int_equal(epx_job_create(world, NULL, &plan->job), EPX_OK);
    ranks_start(&r, world, LIMIT_S, loss_body, NULL);
    while (atomic_load(&plan->ready) < world && ranks_poll(&r) == world)
        ranks_sleep_ms(1);
    atomic_store(&plan->killed_ns, epx_clock_ns());
    ranks_kill(&r, victim, SIGKILL);
    ranks_wait(&r);
    epx_job_destroy(plan->job);
    for (i = 0; i < world; i++)
        assert_int_equal(r.code[i], i == victim ? 128 + SIGKILL : 0);
}

static void everybody_hears_of_a_killed_rank_within_100_ms(void **state)
{
    (void)state;
    kill_one_of(4, 2);
    kill_one_of(2, 1);
    kill_one_of(16, 15);
}

static void everybody_hears_of_a_killed_rank_0_within_100_ms(void **state)
{
    (void)state;
    kill_one_of(4, 0);
    kill_one_of(16, 0);
}

static int half_way_body(int rank, void *arg)
{
    epx_boot *boot = open_here(rank);
    uint64_t began;

    (void)arg;
    boot_barrier(boot);
    if (rank == plan->victim)
        raise(SIGKILL);
    began = epx_clock_ns();
    RANK_CHECK(epx_boot_allgather(boot, NULL, 0, NULL, BOOT_TIMEOUT_MS) == EPX_ERR_PEER_LOST);
    RANK_CHECK(epx_clock_ns() - began < 500 * EPX_NS_PER_MS);
    if (plan->victim != 0)
        RANK_CHECK(strstr(epx_last_error(), "rank 3") != NULL);
    epx_boot_close(boot, false);
    return 0;
}

static void a_gather_ends_when_a_rank_dies_before_entering(void **state)
{
    (void)state;
    plan->victim = 3;
    assert_int_equal(run(5, half_way_body), 1);
    plan->victim = 0;
    assert_int_equal(run(5, half_way_body), 1);
}

static int farewell_body(int rank, void *arg)
{
    epx_boot *boot = open_here(rank);
    epx_notice heard;

    (void)arg;
    boot_barrier(boot);
    if (rank != plan->victim) {
        RANK_CHECK(!boot_hear(boot, &heard, 200)); /* no loss... */
        RANK_CHECK(epx_boot_allgather(boot, NULL, 0, NULL, 1000) == EPX_ERR_PEER_LOST);
        RANK_CHECK(strstr(epx_last_error(), "closed its communicator") != NULL);
    }
    epx_boot_close(boot, true);
    return 0;
}

static void a_graceful_close_is_no_loss_but_ends_gathers(void **state)
{
    (void)state;
    plan->victim = 1;
    assert_int_equal(run(3, farewell_body), 0);
    plan->victim = 0;
    assert_int_equal(run(3, farewell_body), 0);
}

static int stopped_body(int rank, void *arg)
{
    epx_boot *boot = open_here(rank);
    int i;

    (void)arg;
    atomic_fetch_add(&plan->ready, 1);
    for (i = 0; i < 3; i++) {
        boot_barrier(boot);
        ranks_sleep_ms(100);
    }
    boot_leave(boot);
    return 0;
}

static void a_rank_that_was_stopped_for_a_second_is_not_lost(void **state)
{
    ranks r;

    (void)state;
    plan->world = 3;
    atomic_store(&plan->ready, 0);
    assert_int_equal(epx_job_create(3, NULL, &plan->job), EPX_OK);
    ranks_start(&r, 3, LIMIT_S, stopped_body, NULL);
    while (atomic_load(&plan->ready) < 3 && ranks_poll(&r) == 3)
        ranks_sleep_ms(1);
    ranks_kill(&r, 1, SIGSTOP);
    ranks_sleep_ms(1000);
    ranks_kill(&r, 1, SIGCONT);
    assert_int_equal(ranks_wait(&r), 0);
    epx_job_destroy(plan->job);
}

static int again_body(int rank, void *arg)
{
    int i;

    (void)arg;
    for (i = 0; i < 5; i++) {
        epx_boot *boot = boot_open(rank, plan->world, plan->job);

        boot_barrier(boot);
        epx_boot_close(boot, true);
    }
    epx_job_destroy(plan->job);
    return 0;
}

static void one_job_serves_several_boots_in_turn(void **state)
{
    (void)state;
    assert_int_equal(run(4, again_body), 0);
}

static int crowd_body(int rank, void *arg)
{
    epx_boot *boot = open_here(rank);

    (void)arg;
    boot_leave(boot);
    return 0;
}

static void sixty_four_ranks_meet_in_time(void **state)
{
    double began = ranks_now_s();

    (void)state;
    assert_int_equal(run(64, crowd_body), 0);
    assert_true(ranks_now_s() - began < 5.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_hears_of_a_killed_rank_within_100_ms),
        cmocka_unit_test(everybody_hears_of_a_killed_rank_0_within_100_ms),
        cmocka_unit_test(a_gather_ends_when_a_rank_dies_before_entering),
        cmocka_unit_test(a_graceful_close_is_no_loss_but_ends_gathers),
        cmocka_unit_test(a_rank_that_was_stopped_for_a_second_is_not_lost),
        cmocka_unit_test(one_job_serves_several_boots_in_turn),
        cmocka_unit_test(sixty_four_ranks_meet_in_time),
    };

    return cmocka_run_group_tests(tests, make_plan, NULL);
}
