/* world.c - the scheduler: who runs next, and when the clock moves. */
#include "comm/sim/world.h"

#include <string.h>

#include "comm/sim/events.h"
#include "comm/sim/fiber.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/rng.h"

#define START_NS UINT64_C(1000000000)
#define DETECTION_NS UINT64_C(1000000)

typedef struct sim_rank {
    epx_world *world;
    epx_fiber *fiber;
    int32_t rank;
    bool runnable;
    bool dead;
    uint64_t died_at;
    uint64_t wake_at; /* deadline of its wait */
    uint64_t events;
} sim_rank;

typedef struct shared_entry {
    uint64_t key;
    void *value;
} shared_entry;

struct epx_world {
    epx_sim_config config;
    uint64_t now;
    uint64_t rng;
    uint64_t messages;
    int32_t current; /* rank that runs, -1: the scheduler */
    bool stuck;      /* nobody could go on: all unwind */
    epx_sim_events events;
    shared_entry *shared; /* owns */
    size_t num_shared, shared_capacity;
    void (*main)(epx_world *world, int32_t rank, void *arg);
    void *arg;
    sim_rank ranks[EPX_SIM_MAX_RANKS];
};

const epx_sim_config *epx_world_config(const epx_world *world)
{
    return &world->config;
}

int32_t epx_world_node_of(const epx_world *world, int32_t rank)
{
    return world->config.node_of == NULL ? 0 : world->config.node_of[rank];
}

uint64_t epx_world_now(const epx_world *world)
{
    return world->now;
}

uint64_t *epx_world_rng(epx_world *world)
{
    return &world->rng;
}

uint64_t epx_world_delay(epx_world *world)
{
    uint64_t low = world->config.min_delay_ns, high = world->config.max_delay_ns;

    return low + epx_rng_below(&world->rng, high - low + 1);
}

bool epx_world_dead(const epx_world *world, int32_t rank)
{
    return world->ranks[rank].dead;
}

bool epx_world_known_dead(const epx_world *world, int32_t rank)
{
    return world->ranks[rank].dead && world->now >= world->ranks[rank].died_at + DETECTION_NS;
}

static void die(epx_world *world, sim_rank *r)
{
    int32_t other;

    r->dead = true;
    r->died_at = world->now;
    for (other = 0; other < world->config.ranks; other++)
        epx_world_post(world, other, world->now + DETECTION_NS, NULL, NULL, 0, 0);
}

void epx_world_count_event(epx_world *world, int32_t rank)
{
    sim_rank *r = &world->ranks[rank];

    r->events++;
    if (rank == world->config.kill_rank && r->events == world->config.kill_at_event && !r->dead)
        die(world, r);
}

void epx_world_post(epx_world *world, int32_t to, uint64_t at,
                    void (*deliver)(void *arg, uint64_t a, uint64_t b), void *arg, uint64_t a,
                    uint64_t b)
{
    epx_sim_event event = {.at = at, .to = to, .deliver = deliver, .arg = arg, .a = a, .b = b};

    world->messages += deliver != NULL;
    if (!epx_sim_events_add(&world->events, event))
        world->stuck = true; /* a machine without a future: everybody unwinds */
}

void epx_world_cancel(epx_world *world, const void *arg)
{
    epx_sim_events_cancel(&world->events, arg);
}

void epx_world_wait(epx_world *world, uint64_t until)
{
    sim_rank *r = &world->ranks[world->current];

    epx_world_count_event(world, r->rank);
    if (r->dead || world->stuck || until <= world->now)
        until = world->now; /* still a turn for the others */
    r->runnable = false;
    r->wake_at = until;
    epx_fiber_yield(r->fiber);
}

void *epx_world_shared(const epx_world *world, uint64_t key)
{
    size_t i;

    for (i = 0; i < world->num_shared; i++)
        if (world->shared[i].key == key)
            return world->shared[i].value;
    return NULL;
}

epx_status epx_world_share(epx_world *world, uint64_t key, void *value)
{
    shared_entry *grown;
    size_t i;

    for (i = 0; i < world->num_shared; i++)
        if (world->shared[i].key == key) {
            world->shared[i].value = value;
            if (value == NULL)
                world->shared[i] = world->shared[--world->num_shared];
            return EPX_OK;
        }
    if (value == NULL)
        return EPX_OK;
    if (world->num_shared == world->shared_capacity) {
        size_t capacity = world->shared_capacity == 0 ? 64 : 2 * world->shared_capacity;

        grown = epx_mem_alloc("simulated registry", capacity, sizeof(*grown));
        if (grown == NULL)
            return EPX_ERR_NO_MEMORY;
        if (world->num_shared != 0)
            memcpy(grown, world->shared, world->num_shared * sizeof(*grown));
        epx_mem_free(world->shared);
        world->shared = grown;
        world->shared_capacity = capacity;
    }
    world->shared[world->num_shared++] = (shared_entry){key, value};
    return EPX_OK;
}

static void rank_main(void *arg)
{
    sim_rank *r = arg;

    r->world->main(r->world, r->rank, r->world->arg);
}

/* A random one of the ranks that can run; -1 when all wait or have ended. */
static int32_t pick(epx_world *world)
{
    int32_t candidates[EPX_SIM_MAX_RANKS], count = 0, rank;

    for (rank = 0; rank < world->config.ranks; rank++) {
        sim_rank *r = &world->ranks[rank];

        if (!epx_fiber_ended(r->fiber) && (r->runnable || r->wake_at <= world->now))
            candidates[count++] = rank;
    }
    if (count == 0)
        return -1;
    return candidates[epx_rng_below(&world->rng, (uint64_t)count)];
}

/* Moves the clock to the next event or deadline; false when there is neither. */
static bool advance(epx_world *world)
{
    uint64_t next = EPX_NEVER, at;
    epx_sim_event event;
    int32_t rank;

    for (rank = 0; rank < world->config.ranks; rank++)
        if (!epx_fiber_ended(world->ranks[rank].fiber) && world->ranks[rank].wake_at < next)
            next = world->ranks[rank].wake_at;
    if (epx_sim_events_peek(&world->events, &at) && at < next)
        next = at;
    if (next == EPX_NEVER)
        return false;
    if (next > world->now)
        world->now = next;
    while (epx_sim_events_peek(&world->events, &at) && at <= world->now) {
        epx_sim_events_pop(&world->events, &event);
        if (event.deliver != NULL)
            event.deliver(event.arg, event.a, event.b);
        world->ranks[event.to].runnable = true;
    }
    return true;
}

static bool all_ended(const epx_world *world)
{
    int32_t rank;

    for (rank = 0; rank < world->config.ranks; rank++)
        if (!epx_fiber_ended(world->ranks[rank].fiber))
            return false;
    return true;
}

static void schedule(epx_world *world)
{
    while (!all_ended(world)) {
        int32_t rank = pick(world);

        if (rank < 0) {
            if (!advance(world)) {
                world->stuck = true;
                for (rank = 0; rank < world->config.ranks; rank++) {
                    world->ranks[rank].dead = true;
                    world->ranks[rank].runnable = true;
                }
            }
            continue;
        }
        world->ranks[rank].runnable = true;
        world->current = rank;
        epx_fiber_resume(world->ranks[rank].fiber);
        world->current = -1;
    }
}

static epx_status world_open(epx_world *world, const epx_sim_config *cfg)
{
    int32_t rank;

    world->config = *cfg;
    if (cfg->ranks < 1 || cfg->ranks > EPX_SIM_MAX_RANKS)
        return epx_fail(EPX_ERR_INVALID, "simulation of %d ranks, expected 1 to %d", cfg->ranks,
                        EPX_SIM_MAX_RANKS);
    if (world->config.min_delay_ns == 0)
        world->config.min_delay_ns = 1000;
    if (world->config.max_delay_ns == 0)
        world->config.max_delay_ns = 100 * world->config.min_delay_ns;
    if (world->config.max_delay_ns < world->config.min_delay_ns)
        return epx_fail(EPX_ERR_INVALID, "simulation: max_delay_ns %llu is below min_delay_ns %llu",
                        (unsigned long long)cfg->max_delay_ns,
                        (unsigned long long)world->config.min_delay_ns);
    world->now = START_NS;
    world->rng = cfg->seed;
    world->current = -1;
    for (rank = 0; rank < cfg->ranks; rank++) {
        sim_rank *r = &world->ranks[rank];

        *r = (sim_rank){.world = world, .rank = rank, .runnable = true, .wake_at = EPX_NEVER};
        if (epx_fiber_create(rank_main, r, &r->fiber) != EPX_OK)
            return EPX_ERR_NO_MEMORY;
    }
    return EPX_OK;
}

epx_status epx_world_run(const epx_sim_config *cfg,
                         void (*main)(epx_world *world, int32_t rank, void *arg), void *arg,
                         epx_sim_result *result_out)
{
    epx_world *world = epx_mem_alloc("simulated world", 1, sizeof(*world));
    epx_status st;
    int32_t rank;

    if (world == NULL)
        return EPX_ERR_NO_MEMORY;
    st = world_open(world, cfg);
    if (st == EPX_OK) {
        world->main = main;
        world->arg = arg;
        schedule(world);
        if (world->stuck)
            st = epx_fail(EPX_ERR_SYSTEM, "simulation with seed %llu: every rank waits for ever",
                          (unsigned long long)cfg->seed);
    }
    if (st == EPX_OK && result_out != NULL) {
        result_out->virtual_ns = world->now - START_NS;
        result_out->messages = world->messages;
        result_out->events = cfg->kill_rank >= 0 && cfg->kill_rank < cfg->ranks
                                 ? world->ranks[cfg->kill_rank].events
                                 : 0;
    }
    for (rank = 0; rank < EPX_SIM_MAX_RANKS; rank++)
        epx_fiber_destroy(world->ranks[rank].fiber);
    epx_sim_events_close(&world->events);
    epx_mem_free(world->shared);
    epx_mem_free(world);
    return st;
}
