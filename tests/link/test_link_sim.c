/* test_link_sim.c - the link suite over both simulated links: ranks are coroutines of this thread,
 * time is virtual. Deaths and notices travel by the simulated boot. */
#include "link/link_suite.h"

#include <string.h>

#include "comm/link/simlink.h"
#include "core/mem.h"

typedef struct sim_run {
    const link_fixture *fixture;
    link_check check;
    link_board *board;
    int32_t good; /* ranks that returned true */
} sim_run;

static uint64_t virtual_now(link_seat *seat)
{
    return epx_world_now(seat->world);
}

static void wait_in_world(link_seat *seat, uint64_t until)
{
    epx_world_wait(seat->world, until);
}

static void run_rank(epx_world *world, int32_t rank, void *arg)
{
    sim_run *run = arg;
    link_seat seat = {.fixture = run->fixture,
                      .board = run->board,
                      .world = world,
                      .rank = rank,
                      .ranks = epx_world_config(world)->ranks,
                      .until = epx_world_now(world) + LINK_LIMIT_NS};

    if (epx_sim_link_open(world, rank, run->fixture->mapped, &seat.link) != EPX_OK)
        return;
    run->good += run->check(&seat);
    seat.link->ops->close(seat.link);
}

/* Under several seeds: other delays, other orders. */
static bool run_world(const link_fixture *fixture, int32_t ranks, link_check check, int32_t victim)
{
    static const int32_t together[LINK_MAX_RANKS] = {0};
    epx_sim_config cfg = {.struct_size = sizeof(cfg),
                          .ranks = ranks,
                          .node_of = fixture->mapped ? together : link_all_ranks()};
    uint64_t live = epx_mem_read().live;

    assert_int_equal(victim, -1);
    for (cfg.seed = 1; cfg.seed <= 3; cfg.seed++) {
        link_board board;
        sim_run run = {.fixture = fixture, .check = check, .board = &board};

        memset(&board, 0, sizeof(board));
        assert_int_equal(epx_world_run(&cfg, run_rank, &run, NULL), EPX_OK);
        if (run.good != ranks || epx_mem_read().live != live)
            return false;
    }
    return true;
}

int main(void)
{
    link_fixture near = {.name = "sim near",
                         .max_ranks = LINK_MAX_RANKS,
                         .mapped = true,
                         .loopback = true,
                         .run = run_world,
                         .sleep = wait_in_world,
                         .now = virtual_now};
    link_fixture far = near;
    int failed;

    far.name = "sim far";
    far.mapped = false;
    failed = link_suite(&near, NULL, 0);
    return link_suite(&far, NULL, 0) + failed;
}
