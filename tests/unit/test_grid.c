/* test_grid.c - nodes are numbered by their lowest rank, members ascend, whatever the mapping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "comm/topo/grid.h"
#include "core/mem.h"
#include "core/rng.h"

enum { MOST = 64 };

static void block_mapping_is_as_one_expects(void **state)
{
    static const int32_t key[6] = {0, 0, 0, 3, 3, 3}, begin[3] = {0, 3, 6};
    epx_grid grid;
    int32_t rank;

    (void)state;
    assert_int_equal(epx_grid_init(&grid, 6, key), EPX_OK);
    assert_int_equal(grid.num_ranks, 6);
    assert_int_equal(grid.num_nodes, 2);
    assert_int_equal(grid.max_members, 3);
    assert_memory_equal(grid.begin, begin, sizeof(begin));
    for (rank = 0; rank < 6; rank++) {
        assert_int_equal(grid.node_of[rank], rank / 3);
        assert_int_equal(grid.local_of[rank], rank % 3);
        assert_int_equal(grid.order[rank], rank);
        assert_int_equal(grid.place[rank], rank);
    }
    epx_grid_close(&grid);
}

static void round_robin_and_uneven_nodes_are_sorted(void **state)
{
    /* Names mean nothing: 9 has the lowest rank, so it is node 0. */
    static const int32_t key[7] = {9, 2, 9, 2, 5, 9, 2};
    static const int32_t order[7] = {0, 2, 5, 1, 3, 6, 4}, place[7] = {0, 3, 1, 4, 6, 2, 5};
    static const int32_t node_of[7] = {0, 1, 0, 1, 2, 0, 1}, local_of[7] = {0, 0, 1, 1, 0, 2, 2};
    epx_grid grid;

    (void)state;
    assert_int_equal(epx_grid_init(&grid, 7, key), EPX_OK);
    assert_int_equal(grid.num_nodes, 3);
    assert_int_equal(grid.max_members, 3);
    assert_memory_equal(grid.order, order, sizeof(order));
    assert_memory_equal(grid.place, place, sizeof(place));
    assert_memory_equal(grid.node_of, node_of, sizeof(node_of));
    assert_memory_equal(grid.local_of, local_of, sizeof(local_of));
    assert_int_equal(epx_grid_members(&grid, 0), 3);
    assert_int_equal(epx_grid_members(&grid, 2), 1);
    assert_int_equal(epx_grid_rank(&grid, 1, 2), 6);
    epx_grid_close(&grid);
}

static void one_rank_is_a_grid(void **state)
{
    static const int32_t key[1] = {-7};
    epx_grid grid;

    (void)state;
    assert_int_equal(epx_grid_init(&grid, 1, key), EPX_OK);
    assert_int_equal(grid.num_nodes, 1);
    assert_int_equal(grid.max_members, 1);
    assert_int_equal(epx_grid_rank(&grid, 0, 0), 0);
    epx_grid_close(&grid);
}

static void check_grid(const epx_grid *grid, const int32_t *key)
{
    int32_t rank, node, local, before, lowest = -1, seen = 0;

    for (node = 0; node < grid->num_nodes; node++) {
        assert_true(epx_grid_members(grid, node) >= 1);
        assert_true(epx_grid_members(grid, node) <= grid->max_members);
        assert_true(epx_grid_rank(grid, node, 0) > lowest);
        lowest = epx_grid_rank(grid, node, 0);
        for (local = 0, before = -1; local < epx_grid_members(grid, node); local++) {
            rank = epx_grid_rank(grid, node, local);
            assert_true(rank > before);
            assert_int_equal(key[rank], key[lowest]);
            assert_int_equal(grid->node_of[rank], node);
            assert_int_equal(grid->local_of[rank], local);
            assert_int_equal(grid->place[rank], seen++);
            before = rank;
        }
    }
    assert_int_equal(seen, grid->num_ranks);
    for (rank = 1; rank < grid->num_ranks; rank++)
        assert_int_equal(key[rank] == key[rank - 1],
                         grid->node_of[rank] == grid->node_of[rank - 1]);
}

static void any_mapping_keeps_the_rules(void **state)
{
    uint64_t rng = 20;
    int32_t key[MOST], ranks, nodes, i, n;
    epx_grid grid;

    (void)state;
    for (n = 0; n < 2000; n++) {
        ranks = 1 + (int32_t)epx_rng_below(&rng, MOST);
        nodes = 1 + (int32_t)epx_rng_below(&rng, (uint64_t)ranks);
        for (i = 0; i < ranks; i++)
            key[i] = (int32_t)epx_rng_below(&rng, (uint64_t)nodes);
        assert_int_equal(epx_grid_init(&grid, ranks, key), EPX_OK);
        check_grid(&grid, key);
        epx_grid_close(&grid);
    }
}

static void no_ranks_are_refused(void **state)
{
    static const int32_t key[1] = {0};
    epx_grid grid = {.num_ranks = 77};

    (void)state;
    assert_int_equal(epx_grid_init(&grid, 0, key), EPX_ERR_INVALID);
    assert_int_equal(epx_grid_init(&grid, -1, key), EPX_ERR_INVALID);
    assert_int_equal(epx_grid_init(&grid, 1, NULL), EPX_ERR_INVALID);
    assert_int_equal(grid.num_ranks, 77);
}

static void failed_allocations_leak_nothing(void **state)
{
    static const int32_t key[3] = {0, 1, 0};
    uint64_t live = epx_mem_read().live, n;
    epx_grid grid = {.num_ranks = 77};
    epx_status st;

    (void)state;
    for (n = 1;; n++) {
        epx_mem_fail_at(n);
        st = epx_grid_init(&grid, 3, key);
        epx_mem_fail_at(0);
        if (st == EPX_OK)
            break;
        assert_int_equal(st, EPX_ERR_NO_MEMORY);
        assert_int_equal(grid.num_ranks, 77);
        assert_int_equal(epx_mem_read().live, live);
    }
    assert_int_equal(n, 6);
    epx_grid_close(&grid);
    assert_int_equal(epx_mem_read().live, live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_mapping_is_as_one_expects),
        cmocka_unit_test(round_robin_and_uneven_nodes_are_sorted),
        cmocka_unit_test(one_rank_is_a_grid),
        cmocka_unit_test(any_mapping_keeps_the_rules),
        cmocka_unit_test(no_ranks_are_refused),
        cmocka_unit_test(failed_allocations_leak_nothing),
    };

    return cmocka_run_group_tests_name("grid", tests, NULL, NULL);
}
