/* test_exchange_sim.c - dispatch and combine over simulated ranks equal the oracle bit by bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <epx/sim.h>

#include "support/moe_case.h"

typedef struct sim_case {
    moe_case moe;
    uint64_t wrong;
} sim_case;

static epx_status body(epx_comm *comm, void *arg)
{
    sim_case *c = arg;

    return case_run(&c->moe, comm, &c->wrong);
}

static void run_case(sim_case *c, int32_t ranks, const int32_t *node_of)
{
    epx_sim_config cfg = {
        .struct_size = sizeof(cfg), .ranks = ranks, .node_of = node_of, .seed = c->moe.seed};
    epx_status status[EPX_SIM_MAX_RANKS], st;
    int32_t r;

    st = epx_sim_run(&cfg, body, c, status, NULL);
    for (r = 0; r < ranks; r++)
        if (status[r] != EPX_OK)
            print_message("seed %llu, rank %d: %s, last: %s\n", (unsigned long long)c->moe.seed, r,
                          epx_status_name(status[r]), epx_last_error());
    assert_int_equal(st, EPX_OK);
    for (r = 0; r < ranks; r++)
        assert_int_equal(status[r], EPX_OK);
    assert_int_equal(c->wrong, 0);
}

/* A random shape: 1..16 ranks on nodes of any size, any plan, layout and type. */
static void draw(uint64_t seed, sim_case *c, int32_t *ranks, int32_t *node_of)
{
    uint64_t rng = seed;
    int32_t r, node = 0;

    memset(c, 0, sizeof(*c));
    *ranks = 1 + (int32_t)epx_rng_below(&rng, 16);
    for (r = 0; r < *ranks; r++) {
        node += r > 0 && epx_rng_below(&rng, 3) == 0;
        node_of[r] = node;
    }
    c->moe.seed = seed;
    c->moe.plan = (uint32_t)epx_rng_below(&rng, 4);
    c->moe.layout = (uint32_t)epx_rng_below(&rng, 2);
    c->moe.type = (uint32_t)epx_rng_below(&rng, 2);
    c->moe.topk = 1 + (uint32_t)epx_rng_below(&rng, 8);
    c->moe.elems = 1 + (uint32_t)epx_rng_below(&rng, 300);
    c->moe.experts = 1 + (int32_t)epx_rng_below(&rng, 40);
    c->moe.max_tokens = 1 + epx_rng_below(&rng, 60);
    c->moe.repeats = 1 + (int)epx_rng_below(&rng, 2);
    for (r = 0; r < *ranks; r++)
        c->moe.tokens[r] =
            epx_rng_below(&rng, 4) == 0 ? 0 : epx_rng_below(&rng, c->moe.max_tokens + 1);
}

static void random_shapes_equal_the_oracle(void **state)
{
    uint64_t first = 1, count = 400, seed;
    const char *replay = getenv("EPX_TEST_SEED");

    (void)state;
    if (replay != NULL) {
        first = strtoull(replay, NULL, 10);
        count = 1;
    }
    for (seed = first; seed < first + count; seed++) {
        int32_t ranks, node_of[EPX_SIM_MAX_RANKS];
        sim_case c;

        draw(seed, &c, &ranks, node_of);
        run_case(&c, ranks, node_of);
    }
}

static void plans_and_layouts_give_the_same_bits(void **state)
{
    static const int32_t node_of[] = {0, 0, 0, 1, 1, 2, 2, 2};
    uint64_t hash = 0;
    uint32_t plan, layout;
    int32_t r;

    (void)state;
    for (plan = 0; plan < 4; plan++)
        for (layout = 0; layout < 2; layout++) {
            sim_case c = {.moe = {.seed = 7,
                                  .plan = plan,
                                  .layout = layout,
                                  .topk = 6,
                                  .elems = 257,
                                  .experts = 21,
                                  .max_tokens = 40,
                                  .repeats = 2}};

            for (r = 0; r < 8; r++)
                c.moe.tokens[r] = 40 - (uint64_t)r;
            run_case(&c, 8, node_of);
            if (hash != 0)
                assert_true(c.moe.hash == hash);
            hash = c.moe.hash;
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_and_layouts_give_the_same_bits),
        cmocka_unit_test(random_shapes_equal_the_oracle),
    };

    return cmocka_run_group_tests_name("exchange_sim", tests, NULL, NULL);
}
