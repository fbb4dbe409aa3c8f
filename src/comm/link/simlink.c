/* simlink.c - simulated links: ports as rings in the world's memory whose arrivals and credits are
 * events, windows as plain memory.
 *
 * A ring lives in the world's registry under (port id, source, destination); both ends count on it.
 * Chunks of one ring keep their order; a lost chunk stalls its ring for ever, as a broken stream
 * does. */
#include "comm/link/simlink.h"

#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "core/size.h"

typedef struct sim_ring {
    epx_world *world;
    uint64_t key;
    int32_t ends;  /* open ends */
    bool broken;   /* a chunk was lost */
    uint64_t head; /* put */
    uint64_t arrived;
    uint64_t tail;   /* released */
    uint64_t credit; /* released, as the sender knows */
    uint64_t last_arrival;
    uint32_t depth;
    size_t slot_bytes;
    unsigned char *slots; /* owns */
    size_t bytes[64];     /* of the chunk in each slot */
} sim_ring;

typedef struct sim_port {
    epx_port base;
    sim_ring **out; /* [num_peers] owns its ends */
    sim_ring **in;
} sim_port;

#define MAX_PEER_SETS 64

/* How many windows this rank has opened with one set of peers. */
typedef struct peer_set {
    uint64_t hash;
    uint64_t windows;
} peer_set;

typedef struct sim_link {
    epx_link base;
    epx_world *world;
    peer_set sets[MAX_PEER_SETS];
    int32_t num_sets;
} sim_link;

static epx_world *world_of(const epx_port *port)
{
    return ((const sim_link *)port->link)->world;
}

static uint64_t ring_key(uint32_t id, int32_t from, int32_t to)
{
    return (UINT64_C(0xa) << 60) | ((uint64_t)id << 16) | ((uint64_t)from << 8) | (uint64_t)to;
}

static epx_status ring_attach(epx_world *world, const epx_port_config *cfg, int32_t from,
                              int32_t to, sim_ring **ring_out)
{
    uint64_t key = ring_key(cfg->id, from, to);
    sim_ring *ring = epx_world_shared(world, key);
    epx_status st;

    if (ring == NULL) {
        ring = epx_mem_alloc("simulated ring", 1, sizeof(*ring));
        if (ring == NULL)
            return EPX_ERR_NO_MEMORY;
        ring->slots = epx_mem_reserve("simulated slots", cfg->depth * cfg->slot_bytes);
        if (ring->slots == NULL) {
            epx_mem_free(ring);
            return EPX_ERR_NO_MEMORY;
        }
        ring->world = world;
        ring->key = key;
        ring->depth = cfg->depth;
        ring->slot_bytes = cfg->slot_bytes;
        st = epx_world_share(world, key, ring);
        if (st != EPX_OK) {
            epx_mem_release(ring->slots, cfg->depth * cfg->slot_bytes);
            epx_mem_free(ring);
            return st;
        }
    }
    ring->ends++;
    *ring_out = ring;
    return EPX_OK;
}

static void ring_detach(sim_ring *ring)
{
    if (ring == NULL || --ring->ends != 0)
        return;
    epx_world_cancel(ring->world, ring);
    (void)!epx_world_share(ring->world, ring->key, NULL); /* cannot fail: it removes */
    epx_mem_release(ring->slots, ring->depth * ring->slot_bytes);
    epx_mem_free(ring);
}

static void sim_port_close(epx_port *base)
{
    sim_port *port = (sim_port *)base;
    int32_t i;

    for (i = 0; i < base->config.num_peers; i++) {
        if (port->out != NULL)
            ring_detach(port->out[i]);
        if (port->in != NULL)
            ring_detach(port->in[i]);
    }
    epx_mem_free(port->out);
    epx_mem_free(port->in);
    epx_mem_free((void *)(uintptr_t)base->config.peers);
    epx_mem_free(port);
}

static epx_status attach_peers(sim_link *link, sim_port *port)
{
    const epx_port_config *cfg = &port->base.config;
    epx_status st;
    int32_t i;

    for (i = 0; i < cfg->num_peers; i++) {
        st = ring_attach(link->world, cfg, link->base.rank, cfg->peers[i], &port->out[i]);
        if (st == EPX_OK)
            st = ring_attach(link->world, cfg, cfg->peers[i], link->base.rank, &port->in[i]);
        if (st != EPX_OK)
            return st;
    }
    return EPX_OK;
}

static epx_status sim_port_open(epx_link *base, const epx_port_config *cfg, epx_port **port_out)
{
    epx_status st = epx_port_check("sim", cfg);
    size_t count = (size_t)cfg->num_peers;
    int32_t *peers;
    sim_port *port;

    if (st != EPX_OK)
        return st;
    port = epx_mem_alloc("simulated port", 1, sizeof(*port));
    peers = epx_mem_alloc("port peers", count, sizeof(*peers));
    if (port == NULL || peers == NULL) {
        epx_mem_free(peers);
        epx_mem_free(port);
        return EPX_ERR_NO_MEMORY;
    }
    memcpy(peers, cfg->peers, count * sizeof(*peers));
    port->base.link = base;
    port->base.config = *cfg;
    port->base.config.peers = peers;
    port->out = epx_mem_alloc("simulated rings", count, sizeof(sim_ring *));
    port->in = epx_mem_alloc("simulated rings", count, sizeof(sim_ring *));
    if (port->out == NULL || port->in == NULL)
        st = EPX_ERR_NO_MEMORY;
    else
        st = attach_peers((sim_link *)base, port);
    if (st != EPX_OK) {
        sim_port_close(&port->base);
        return st;
    }
    *port_out = &port->base;
    return EPX_OK;
}

static void *sim_reserve(epx_port *base, int32_t peer)
{
    sim_ring *ring = ((sim_port *)base)->out[peer];

    if (ring->head - ring->credit >= ring->depth)
        return NULL;
    return ring->slots + ring->head % ring->depth * ring->slot_bytes;
}

static void deliver_chunk(void *arg, uint64_t a, uint64_t b)
{
    (void)a;
    (void)b;
    ((sim_ring *)arg)->arrived++;
}

static void deliver_credit(void *arg, uint64_t released, uint64_t b)
{
    sim_ring *ring = arg;

    (void)b;
    if (released > ring->credit)
        ring->credit = released;
}

/* What a bad network does to a chunk between nodes; false: it is lost. */
static bool survive(epx_world *world, sim_ring *ring, unsigned char *slot, size_t bytes)
{
    const epx_sim_config *cfg = epx_world_config(world);
    uint64_t *rng = epx_world_rng(world);

    if (cfg->bit_flip > 0 && bytes != 0 && epx_rng_unit(rng) < cfg->bit_flip)
        slot[epx_rng_below(rng, bytes)] ^= (unsigned char)(1u << epx_rng_below(rng, 8));
    if (cfg->loss > 0 && epx_rng_unit(rng) < cfg->loss)
        ring->broken = true;
    return !ring->broken;
}

static epx_status sim_put(epx_port *base, int32_t peer, size_t bytes)
{
    sim_port *port = (sim_port *)base;
    epx_world *world = world_of(base);
    sim_ring *ring = port->out[peer];
    unsigned char *slot = ring->slots + ring->head % ring->depth * ring->slot_bytes;
    uint64_t at;

    if (bytes > ring->slot_bytes)
        return epx_fail(EPX_ERR_INVALID, "sim port: %zu bytes into %zu", bytes, ring->slot_bytes);
    at = epx_world_now(world) + epx_world_delay(world);
    epx_world_count_event(world, base->link->rank);
    ring->bytes[ring->head % ring->depth] = bytes;
    ring->head++;
    if (epx_world_dead(world, base->link->rank))
        return EPX_OK;
    if (!base->link->ops->mapped && !survive(world, ring, slot, bytes))
        return EPX_OK;
    if (at < ring->last_arrival)
        at = ring->last_arrival;
    ring->last_arrival = at;
    epx_world_post(world, base->config.peers[peer], at, deliver_chunk, ring, 0, 0);
    return EPX_OK;
}

static void *sim_peek(epx_port *base, int32_t peer, size_t *bytes_out)
{
    sim_ring *ring = ((sim_port *)base)->in[peer];

    if (ring->tail == ring->arrived)
        return NULL;
    *bytes_out = ring->bytes[ring->tail % ring->depth];
    return ring->slots + ring->tail % ring->depth * ring->slot_bytes;
}

static epx_status sim_release(epx_port *base, int32_t peer)
{
    sim_ring *ring = ((sim_port *)base)->in[peer];
    epx_world *world = world_of(base);

    ring->tail++;
    if (base->config.self_clocked)
        ring->credit = ring->tail;
    else if (!epx_world_dead(world, base->link->rank))
        epx_world_post(world, base->config.peers[peer],
                       epx_world_now(world) + epx_world_delay(world), deliver_credit, ring,
                       ring->tail, 0);
    return EPX_OK;
}

static bool sim_drained(const epx_port *base)
{
    (void)base;
    return true;
}

/* ---- windows -------------------------------------------------------------------------------- */

/* What the members of one window share. */
typedef struct sim_meeting {
    uint64_t key;
    int32_t open;
    int32_t arrived;
    int32_t num_peers;
    void *base[EPX_SIM_MAX_RANKS];
    size_t bytes[EPX_SIM_MAX_RANKS];
} sim_meeting;

typedef struct sim_window {
    epx_window base;
    sim_meeting *meeting;
    epx_world *world;
} sim_window;

/* The members open their windows in the same order: the n-th of a set of peers is one window. */
static epx_status window_key(sim_link *link, const int32_t *peers, int32_t num_peers,
                             uint64_t *key_out)
{
    uint64_t state = UINT64_C(0x57) + (uint64_t)num_peers;
    int32_t i;

    for (i = 0; i < num_peers; i++)
        state = epx_rng_next(&state) ^ (uint64_t)peers[i];
    for (i = 0; i < link->num_sets && link->sets[i].hash != state; i++)
        ;
    if (i == MAX_PEER_SETS)
        return epx_fail(EPX_ERR_UNSUPPORTED, "simulation: more than %d groups with windows", i);
    if (i == link->num_sets)
        link->sets[link->num_sets++] = (peer_set){.hash = state};
    state += link->sets[i].windows++;
    *key_out = (UINT64_C(0xc) << 60) | (epx_rng_next(&state) >> 4);
    return EPX_OK;
}

static epx_status join_meeting(sim_link *link, uint64_t key, int32_t num_peers,
                               sim_meeting **meeting_out)
{
    sim_meeting *meeting = epx_world_shared(link->world, key);
    epx_status st;

    if (meeting == NULL) {
        meeting = epx_mem_alloc("simulated window", 1, sizeof(*meeting));
        if (meeting == NULL)
            return EPX_ERR_NO_MEMORY;
        meeting->key = key;
        meeting->num_peers = num_peers;
        st = epx_world_share(link->world, key, meeting);
        if (st != EPX_OK) {
            epx_mem_free(meeting);
            return st;
        }
    }
    meeting->open++;
    *meeting_out = meeting;
    return EPX_OK;
}

static void leave_meeting(epx_world *world, sim_meeting *meeting)
{
    int32_t i;

    if (--meeting->open != 0)
        return;
    (void)!epx_world_share(world, meeting->key, NULL); /* cannot fail: it removes */
    for (i = 0; i < EPX_SIM_MAX_RANKS; i++)
        if (meeting->base[i] != NULL)
            epx_mem_release(meeting->base[i], meeting->bytes[i]);
    epx_mem_free(meeting);
}

static void sim_window_close(epx_window *base)
{
    sim_window *window = (sim_window *)base;

    leave_meeting(window->world, window->meeting);
    epx_mem_free(base->base);
    epx_mem_free(base->peers);
    epx_mem_free(window);
}

/* Until all members have come; a member that dies will not. */
static epx_status wait_for_members(sim_link *link, sim_window *window)
{
    const epx_window *base = &window->base;
    int32_t i;

    while (window->meeting->arrived < base->num_peers) {
        epx_world_wait(link->world, epx_world_now(link->world) + 1000000);
        for (i = 0; i < base->num_peers; i++)
            if (epx_world_known_dead(link->world, base->peers[i]) ||
                epx_world_dead(link->world, link->base.rank))
                return epx_fail(EPX_ERR_PEER_LOST, "rank %d was lost while opening a window",
                                base->peers[i]);
    }
    for (i = 0; i < base->num_peers; i++)
        base->base[i] = window->meeting->base[base->peers[i]];
    return EPX_OK;
}

static epx_status sim_window_open(epx_link *base, const int32_t *peers, int32_t num_peers,
                                  size_t bytes, epx_window **window_out)
{
    sim_link *link = (sim_link *)base;
    sim_window *window;
    sim_meeting *meeting;
    uint64_t key = 0;
    epx_status st;

    if (!base->ops->mapped)
        return epx_link_no_window(base, peers, num_peers, bytes, window_out);
    st = epx_window_check(base, peers, num_peers, bytes);
    if (st == EPX_OK)
        st = window_key(link, peers, num_peers, &key);
    if (st == EPX_OK)
        st = join_meeting(link, key, num_peers, &meeting);
    if (st != EPX_OK)
        return st;
    window = epx_mem_alloc("window", 1, sizeof(*window));
    if (window == NULL) {
        leave_meeting(link->world, meeting);
        return EPX_ERR_NO_MEMORY;
    }
    *window = (sim_window){.base = {.link = base, .bytes = bytes, .num_peers = num_peers},
                           .meeting = meeting,
                           .world = link->world};
    window->base.peers = epx_mem_alloc("window peers", (size_t)num_peers, sizeof(int32_t));
    window->base.base = epx_mem_alloc("window bases", (size_t)num_peers, sizeof(void *));
    meeting->base[base->rank] = epx_mem_reserve("window memory", bytes);
    meeting->bytes[base->rank] = bytes;
    st = EPX_ERR_NO_MEMORY;
    if (window->base.peers != NULL && window->base.base != NULL &&
        meeting->base[base->rank] != NULL) {
        memcpy(window->base.peers, peers, (size_t)num_peers * sizeof(int32_t));
        meeting->arrived++;
        st = wait_for_members(link, window);
    }
    if (st != EPX_OK) {
        sim_window_close(&window->base);
        return st;
    }
    *window_out = &window->base;
    return EPX_OK;
}

/* ---- waiting and faults --------------------------------------------------------------------- */

static void sim_ring_bell(epx_link *base, int32_t peer)
{
    epx_world *world = ((sim_link *)base)->world;
    uint64_t low = epx_world_config(world)->min_delay_ns;

    epx_world_count_event(world, base->rank);
    if (!epx_world_dead(world, base->rank))
        epx_world_post(world, peer, epx_world_now(world) + low, NULL, NULL, 0, 0);
}

static bool sim_progress(epx_link *base)
{
    (void)base;
    return false;
}

static bool sim_arm(epx_link *base)
{
    (void)base;
    return true;
}

static int sim_fds(const epx_link *base, int *fds)
{
    (void)base;
    (void)fds;
    return 0;
}

static void sim_woken(epx_link *base)
{
    (void)base;
}

/* Deaths and notices travel by the simulated boot, which reaches everybody. */
static bool sim_hear(epx_link *base, epx_notice *notice_out)
{
    (void)base;
    (void)notice_out;
    return false;
}

static void sim_tell(epx_link *base, const epx_notice *notice)
{
    (void)base;
    (void)notice;
}

static void sim_fail(epx_link *base, int32_t rank)
{
    (void)base;
    (void)rank;
}

static void sim_close(epx_link *base)
{
    epx_mem_free(base);
}

#define SIM_OPS(is_mapped)                                                                         \
    {                                                                                              \
        .name = "sim", .mapped = (is_mapped), .port_open = sim_port_open,                          \
        .port_close = sim_port_close, .reserve = sim_reserve, .put = sim_put, .peek = sim_peek,    \
        .release = sim_release, .drained = sim_drained, .window_open = sim_window_open,            \
        .window_close = sim_window_close, .ring = sim_ring_bell, .progress = sim_progress,         \
        .arm = sim_arm, .fds = sim_fds, .woken = sim_woken, .hear = sim_hear, .tell = sim_tell,    \
        .fail = sim_fail, .close = sim_close                                                       \
    }

static const epx_link_ops near_ops = SIM_OPS(true);
static const epx_link_ops far_ops = SIM_OPS(false);

epx_status epx_sim_link_open(epx_world *world, int32_t rank, bool mapped, epx_link **link_out)
{
    sim_link *link = epx_mem_alloc("simulated link", 1, sizeof(*link));

    if (link == NULL)
        return EPX_ERR_NO_MEMORY;
    link->base.ops = mapped ? &near_ops : &far_ops;
    link->base.rank = rank;
    link->world = world;
    *link_out = &link->base;
    return EPX_OK;
}
