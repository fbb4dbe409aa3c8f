/* test_boot_group.c - stars of sub-groups, opened over the gather of their parent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "support/boots.h"

#define LIMIT_S 20
#define MAX_WORLD 16

typedef struct shared {
    int world;
    int num_groups; /* rank r is in group r % num_groups; */
    int outside;    /* this one is in none; -1: all are in one */
    int case_number;
} shared;

static shared *plan;
static epx_job *job;

static int run(int world, int num_groups, int outside, ranks_body body)
{
    int failed;

    plan->world = world;
    plan->num_groups = num_groups;
    plan->outside = outside;
    assert_int_equal(epx_job_create(world, NULL, &job), EPX_OK);
    failed = ranks_run(world, LIMIT_S, body, NULL);
    epx_job_destroy(job);
    return failed;
}

static epx_boot *open_parent(int rank)
{
    epx_boot *boot = boot_open(rank, plan->world, job);

    epx_job_destroy(job);
    return boot;
}

static int parent_gather(void *arg, const void *mine, size_t bytes, void *all)
{
    return epx_boot_allgather(arg, mine, bytes, all, BOOT_TIMEOUT_MS);
}

/* The members of this rank's group, in reverse order of rank; how many. */
static int32_t my_group(int rank, int32_t *members, int32_t *index)
{
    int32_t i, size = 0;

    if (rank == plan->outside)
        return 0;
    for (i = plan->world - 1; i >= 0; i--) {
        if (i == plan->outside || i % plan->num_groups != rank % plan->num_groups)
            continue;
        if (i == rank)
            *index = size;
        members[size++] = i;
    }
    return size;
}

static void use_group(epx_boot *group, int rank, const int32_t *members)
{
    int32_t all[MAX_WORLD], i, mine = rank;
    epx_notice told = {.kind = EPX_NOTICE_ABORT, .rank = -1, .status = EPX_ERR_ABORTED}, heard;

    RANK_OK(epx_boot_allgather(group, &mine, sizeof(mine), all, BOOT_TIMEOUT_MS));
    for (i = 0; i < group->size; i++)
        RANK_CHECK(all[i] == members[i]);
    if (group->rank == group->size - 1)
        group->ops->tell(group, &told);
    else
        RANK_CHECK(boot_hear(group, &heard, 2000) && heard.from == group->size - 1);
    boot_barrier(group);
}

static int group_body(int rank, void *arg)
{
    epx_boot *parent = open_parent(rank), *group = NULL;
    int32_t members[MAX_WORLD], index = 0, size = my_group(rank, members, &index);

    (void)arg;
    RANK_OK(epx_boot_open_group(parent, parent_gather, parent, members, size, index,
                                BOOT_TIMEOUT_MS, &group));
    RANK_CHECK((group == NULL) == (rank == plan->outside));
    if (group != NULL) {
        RANK_CHECK(group->rank == index && group->size == size);
        RANK_CHECK(strcmp(group->address, parent->address) == 0);
        RANK_CHECK(memcmp(group->key, parent->key, EPX_KEY_BYTES) != 0);
        use_group(group, rank, members);
        epx_boot_close(group, true);
    }
    boot_leave(parent);
    return 0;
}

static void every_group_gets_a_star_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(run(4, 1, -1, group_body), 0);
    assert_int_equal(run(8, 2, -1, group_body), 0);
    assert_int_equal(run(16, 5, -1, group_body), 0);
}

static void ranks_without_a_group_take_part_and_get_none(void **state)
{
    (void)state;
    assert_int_equal(run(7, 2, 3, group_body), 0);
    assert_int_equal(run(5, 2, 0, group_body), 0);
}

static void groups_of_one_need_no_connection(void **state)
{
    (void)state;
    assert_int_equal(run(3, 3, -1, group_body), 0);
    assert_int_equal(run(1, 1, -1, group_body), 0);
}

static int nested_body(int rank, void *arg)
{
    epx_boot *parent = open_parent(rank), *outer = NULL, *inner = NULL;
    int32_t members[MAX_WORLD], index = 0, size = my_group(rank, members, &index);
    int32_t half[2], first, inner_index;

    (void)arg;
    RANK_OK(epx_boot_open_group(parent, parent_gather, parent, members, size, index,
                                BOOT_TIMEOUT_MS, &outer));
    first = outer->rank / 2 * 2;
    half[0] = first;
    half[1] = first + 1;
    inner_index = outer->rank - first;
    RANK_OK(epx_boot_open_group(outer, parent_gather, outer, half, 2, inner_index, BOOT_TIMEOUT_MS,
                                &inner));
    RANK_CHECK(inner->size == 2 && inner->rank == inner_index);
    boot_barrier(inner);
    epx_boot_close(inner, true);
    boot_barrier(outer);
    epx_boot_close(outer, true);
    boot_leave(parent);
    return 0;
}

static void groups_can_be_divided_again(void **state)
{
    (void)state;
    assert_int_equal(run(8, 2, -1, nested_body), 0);
}

static int wrong_body(int rank, void *arg)
{
    epx_boot *parent = open_parent(rank), *group = NULL;
    int32_t members[MAX_WORLD], index = 0, size = my_group(rank, members, &index);
    epx_status st;

    (void)arg;
    if (rank == 1)
        members[index] = 0; /* not this rank */
    st = epx_boot_open_group(parent, parent_gather, parent, members, size, index, BOOT_TIMEOUT_MS,
                             &group);
    RANK_CHECK(st == (rank == 1 ? EPX_ERR_INVALID : EPX_ERR_ABORTED));
    RANK_CHECK(strstr(epx_last_error(), "rank 1") != NULL);
    RANK_CHECK(group == NULL);
    boot_leave(parent);
    return 0;
}

static void a_group_that_is_wrong_on_one_rank_fails_on_all(void **state)
{
    (void)state;
    assert_int_equal(run(4, 2, -1, wrong_body), 0);
}

static int dead_body(int rank, void *arg)
{
    epx_boot *parent = open_parent(rank), *group = NULL;
    int32_t members[MAX_WORLD], index = 0, size = my_group(rank, members, &index);

    (void)arg;
    RANK_OK(epx_boot_open_group(parent, parent_gather, parent, members, size, index,
                                BOOT_TIMEOUT_MS, &group));
    boot_barrier(parent);
    if (rank == 2)
        raise(SIGKILL);
    if (rank % 2 == 0) {
        epx_notice heard;

        RANK_CHECK(boot_hear(group, &heard, 2000));
        RANK_CHECK(heard.kind == EPX_NOTICE_LOST && members[heard.rank] == 2);
    } else {
        boot_barrier(group); /* the other group lives */
    }
    epx_boot_close(group, false);
    epx_boot_close(parent, false);
    return 0;
}

static void the_loss_of_a_member_reaches_its_group(void **state)
{
    (void)state;
    assert_int_equal(run(6, 2, -1, dead_body), 1);
}

static int make_plan(void **state)
{
    (void)state;
    plan = ranks_shared(sizeof(*plan));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_group_gets_a_star_of_its_own),
        cmocka_unit_test(ranks_without_a_group_take_part_and_get_none),
        cmocka_unit_test(groups_of_one_need_no_connection),
        cmocka_unit_test(groups_can_be_divided_again),
        cmocka_unit_test(a_group_that_is_wrong_on_one_rank_fails_on_all),
        cmocka_unit_test(the_loss_of_a_member_reaches_its_group),
    };

    return cmocka_run_group_tests(tests, make_plan, NULL);
}
