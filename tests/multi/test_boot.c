/* test_boot.c - an open star of forked ranks: gathers, notices, waiting. */
#include "support/boot_star.h"

/* ---- gathers --------------------------------------------------------------------------------- */

static void gather_once(epx_boot *boot, size_t bytes)
{
    uint8_t *mine = epx_mem_alloc("mine", 1, bytes);
    uint8_t *all = epx_mem_alloc("all", (size_t)boot->size, bytes);
    size_t i;

    RANK_CHECK(mine != NULL && all != NULL);
    for (i = 0; i < bytes; i++)
        mine[i] = (uint8_t)((size_t)boot->rank * 31 + i * 7 + bytes);
    RANK_OK(epx_boot_allgather(boot, mine, bytes, all, BOOT_TIMEOUT_MS));
    for (i = 0; i < bytes * (size_t)boot->size; i++)
        RANK_CHECK(all[i] == (uint8_t)(i / bytes * 31 + i % bytes * 7 + bytes));
    epx_mem_free(mine);
    epx_mem_free(all);
}

static int gather_body(int rank, void *arg)
{
    static const size_t sizes[] = {8, 0, 1, 4095, 4096, 4097, 16384, 16385, 300000, 0, 8};
    epx_boot *boot = open_here(rank);
    size_t i;

    (void)arg;
    RANK_CHECK(strcmp(boot->launcher, "fork") == 0);
    RANK_CHECK(strcmp(boot->address, "127.0.0.1") == 0 && strcmp(boot->interface, "lo") == 0);
    RANK_CHECK(boot->keyed);
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        gather_once(boot, sizes[i]);
    boot_leave(boot);
    return 0;
}

static void gathers_of_all_sizes_arrive_in_rank_order(void **state)
{
    (void)state;
    assert_int_equal(run(1, gather_body), 0);
    assert_int_equal(run(2, gather_body), 0);
    assert_int_equal(run(5, gather_body), 0);
    assert_int_equal(run(16, gather_body), 0);
}

static int many_body(int rank, void *arg)
{
    epx_boot *boot = open_here(rank);
    int32_t all[16], i, j;

    (void)arg;
    for (i = 0; i < 300; i++) {
        int32_t mine = rank * 1000 + i;

        RANK_OK(epx_boot_allgather(boot, &mine, sizeof(mine), all, BOOT_TIMEOUT_MS));
        for (j = 0; j < boot->size; j++)
            RANK_CHECK(all[j] == j * 1000 + i);
    }
    boot_leave(boot);
    return 0;
}

static void gathers_follow_each_other_without_mixing(void **state)
{
    (void)state;
    assert_int_equal(run(4, many_body), 0);
}

static int sizes_body(int rank, void *arg)
{
    epx_boot *boot = open_here(rank);
    uint8_t mine[16] = {0}, all[64];

    (void)arg;
    RANK_CHECK(epx_boot_allgather(boot, mine, rank == 2 ? 16 : 8, all, BOOT_TIMEOUT_MS) ==
               EPX_ERR_MISMATCH);
    RANK_CHECK(strstr(epx_last_error(), "rank 2 gives 16") != NULL);
    RANK_CHECK(strstr(epx_last_error(), "rank 0 gives 8") != NULL);
    epx_boot_close(boot, false);
    RANK_CHECK(epx_mem_read().live == 0);
    return 0;
}

static void gathers_of_different_sizes_fail_on_all_ranks(void **state)
{
    (void)state;
    assert_int_equal(run(4, sizes_body), 0);
}

static int late_body(int rank, void *arg)
{
    epx_boot *boot = open_here(rank);
    uint8_t mine[8] = {0}, all[32];
    uint64_t began = epx_clock_ns();

    (void)arg;
    if (rank == plan->victim) {
        ranks_sleep_ms(1200); /* alive, elsewhere */
    } else {
        RANK_CHECK(epx_boot_allgather(boot, mine, 8, all, 400) == EPX_ERR_TIMEOUT);
        RANK_CHECK(epx_clock_ns() - began < 700 * EPX_NS_PER_MS);
        if (plan->victim == 0)
            RANK_CHECK(strstr(epx_last_error(), "rank 0") != NULL);
        else
            RANK_CHECK(strstr(epx_last_error(), "rank 2 did not enter") != NULL);
    }
    epx_boot_close(boot, false);
    return 0;
}

static void a_rank_that_does_not_enter_a_gather_is_named_by_all(void **state)
{
    (void)state;
    plan->victim = 2;
    assert_int_equal(run(4, late_body), 0);
    plan->victim = 0;
    assert_int_equal(run(4, late_body), 0);
}

/* ---- notices --------------------------------------------------------------------------------- */

static int notice_body(int rank, void *arg)
{
    epx_notice told = {.kind = EPX_NOTICE_ABORT, .from = 77, .rank = -1, .status = EPX_ERR_ABORTED},
               heard;
    epx_boot *boot = open_here(rank);
    bool from[16] = {false};
    int i;

    (void)arg;
    snprintf(told.text, sizeof(told.text), "hello from %d", rank);
    boot->ops->tell(boot, &told);
    for (i = 1; i < boot->size; i++) {
        char text[32];

        RANK_CHECK(boot_hear(boot, &heard, 2000));
        RANK_CHECK(heard.kind == EPX_NOTICE_ABORT && heard.status == EPX_ERR_ABORTED);
        RANK_CHECK(heard.from >= 0 && heard.from < boot->size && heard.from != rank);
        RANK_CHECK(!from[heard.from]);
        from[heard.from] = true;
        snprintf(text, sizeof(text), "hello from %d", heard.from);
        RANK_CHECK(strcmp(heard.text, text) == 0);
    }
    RANK_CHECK(!boot_hear(boot, &heard, 20));
    boot_leave(boot);
    return 0;
}

static void a_notice_reaches_everybody_else_once(void **state)
{
    (void)state;
    assert_int_equal(run(8, notice_body), 0);
}

static int between_body(int rank, void *arg)
{
    epx_notice told = {.kind = EPX_NOTICE_WAITING, .rank = 1, .status = EPX_ERR_TIMEOUT}, heard;
    epx_boot *boot = open_here(rank);
    int i, count = 0;

    (void)arg;
    for (i = 0; i < 20; i++) {
        boot->ops->tell(boot, &told);
        gather_once(boot, 40000);
        while (boot->ops->hear(boot, &heard))
            count++;
    }
    gather_once(boot, 1);
    while (boot->ops->hear(boot, &heard))
        count++;
    RANK_CHECK(count == 20 * (boot->size - 1));
    boot_leave(boot);
    return 0;
}

static void notices_pass_between_the_pieces_of_gathers(void **state)
{
    (void)state;
    assert_int_equal(run(4, between_body), 0);
}

static int asleep_body(int rank, void *arg)
{
    epx_notice told = {.kind = EPX_NOTICE_ABORT, .rank = -1, .status = EPX_ERR_ABORTED}, heard;
    epx_boot *boot = open_here(rank);
    struct pollfd p = {.fd = boot->fd, .events = POLLIN};

    (void)arg;
    if (rank == 1) {
        RANK_CHECK(poll(&p, 1, 0) == 0); /* nothing to do: no busy loop */
        boot_barrier(boot);
        RANK_CHECK(poll(&p, 1, 100) == 0);
        boot_barrier(boot);
        RANK_CHECK(poll(&p, 1, 2000) == 1);
        RANK_CHECK(boot_hear(boot, &heard, 0));
    } else {
        boot_barrier(boot);
        ranks_sleep_ms(150);
        boot_barrier(boot);
        ranks_sleep_ms(50); /* rank 1 must be asleep by then */
        if (rank == 2)
            boot->ops->tell(boot, &told);
        else
            RANK_CHECK(boot_hear(boot, &heard, 2000));
    }
    boot_leave(boot);
    return 0;
}

static void the_descriptor_wakes_for_news_and_only_then(void **state)
{
    (void)state;
    assert_int_equal(run(3, asleep_body), 0);
}

static int deaf_body(int rank, void *arg)
{
    epx_notice told = {.kind = EPX_NOTICE_ABORT, .rank = -1, .status = EPX_ERR_ABORTED};
    epx_boot *boot = open_here(rank);
    uint64_t began = epx_clock_ns();
    int i;

    (void)arg;
    if (rank == 2) {
        atomic_store(&plan->ready, 1);
        while (atomic_load(&plan->ready) != 2)
            ranks_sleep_ms(5); /* reads nothing */
    } else if (rank == 1) {
        while (atomic_load(&plan->ready) != 1)
            ranks_sleep_ms(1);
        for (i = 0; i < 60000; i++) {
            boot->ops->tell(boot, &told);
            boot->ops->step(boot);
        }
        atomic_store(&plan->ready, 2);
    }
    if (rank == 0)
        while (atomic_load(&plan->ready) != 2) {
            epx_notice heard;

            boot->ops->step(boot);
            while (boot->ops->hear(boot, &heard))
                ;
        }
    RANK_CHECK(epx_clock_ns() - began < 8000 * EPX_NS_PER_MS);
    RANK_CHECK(epx_mem_read().live_bytes < (size_t)1 << 20);
    boot_leave(boot);
    return 0;
}

static void a_rank_that_does_not_listen_holds_nobody_up(void **state)
{
    (void)state;
    assert_int_equal(run(3, deaf_body), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gathers_of_all_sizes_arrive_in_rank_order),
        cmocka_unit_test(gathers_follow_each_other_without_mixing),
        cmocka_unit_test(gathers_of_different_sizes_fail_on_all_ranks),
        cmocka_unit_test(a_rank_that_does_not_enter_a_gather_is_named_by_all),
        cmocka_unit_test(a_notice_reaches_everybody_else_once),
        cmocka_unit_test(notices_pass_between_the_pieces_of_gathers),
        cmocka_unit_test(the_descriptor_wakes_for_news_and_only_then),
        cmocka_unit_test(a_rank_that_does_not_listen_holds_nobody_up),
    };

    return cmocka_run_group_tests(tests, make_plan, NULL);
}
