/* simboot.c - see simboot.h.
 *
 * Two gather rounds alternate: a rank that starts round r + 2 has seen the end of r + 1, which
 * everybody entered after having read the result of r. */
#include "comm/boot/simboot.h"

#include <string.h>

#include "core/clock.h"
#include "core/mem.h"

#define INBOX 64

typedef struct gather_round {
    uint64_t number; /* of the round that `data` belongs to */
    int32_t arrived;
    size_t bytes; /* per rank, as the first to arrive said */
    bool mismatch;
    unsigned char *data; /* owns, [size * bytes] */
    size_t capacity;
} gather_round;

/* What the boots of one group share. */
typedef struct sim_group {
    int32_t size;
    int32_t open;
    gather_round rounds[2];
    struct sim_boot *boots[EPX_SIM_MAX_RANKS];
} sim_group;

typedef struct sim_boot {
    epx_boot base;
    epx_world *world;
    sim_group *group;
    uint64_t key; /* of group in the world's registry */
    int32_t members[EPX_SIM_MAX_RANKS];
    bool reported[EPX_SIM_MAX_RANKS]; /* LOST, once each */
    uint64_t round;                   /* of the current or last gather */
    bool gathering, gathered;
    size_t bytes;
    void *all;
    epx_notice inbox[INBOX];
    bool inbox_full[INBOX];
} sim_boot;

static epx_status round_begin(gather_round *round, uint64_t number, int32_t size, size_t bytes)
{
    if (round->number == number)
        return EPX_OK;
    if (round->capacity < (size_t)size * bytes) {
        epx_mem_free(round->data);
        round->capacity = 0;
        round->data = epx_mem_alloc("simulated gather", (size_t)size, bytes);
        if (round->data == NULL)
            return EPX_ERR_NO_MEMORY;
        round->capacity = (size_t)size * bytes;
    }
    round->number = number;
    round->arrived = 0;
    round->bytes = bytes;
    round->mismatch = false;
    return EPX_OK;
}

static void deliver_gather(void *arg, uint64_t a, uint64_t b)
{
    sim_boot *boot = arg;

    (void)a;
    (void)b;
    boot->gathered = true;
}

static void finish_round(sim_boot *boot)
{
    int32_t i;

    for (i = 0; i < boot->group->size; i++)
        epx_world_post(boot->world, boot->members[i],
                       epx_world_now(boot->world) + epx_world_delay(boot->world), deliver_gather,
                       boot->group->boots[i], 0, 0);
}

static epx_status sim_gather_start(epx_boot *base, const void *mine, size_t bytes, void *all)
{
    sim_boot *boot = (sim_boot *)base;
    gather_round *round = &boot->group->rounds[(boot->round + 1) % 2];
    epx_status st;

    if (boot->gathering)
        return epx_fail(EPX_ERR_BUSY, "boot: a gather is under way");
    epx_world_count_event(boot->world, boot->members[base->rank]);
    st = round_begin(round, boot->round + 1, base->size, bytes);
    if (st != EPX_OK)
        return st;
    boot->round++;
    boot->gathering = true;
    boot->gathered = false;
    boot->bytes = bytes;
    boot->all = all;
    if (epx_world_dead(boot->world, boot->members[base->rank]))
        return EPX_OK; /* the others must not hear of it */
    if (round->bytes != bytes)
        round->mismatch = true;
    else if (bytes != 0)
        memcpy(round->data + (size_t)base->rank * bytes, mine, bytes);
    if (++round->arrived == base->size)
        finish_round(boot);
    return EPX_OK;
}

static bool sim_gather_done(epx_boot *base, epx_status *status_out)
{
    sim_boot *boot = (sim_boot *)base;
    gather_round *round = &boot->group->rounds[boot->round % 2];
    int32_t i;

    if (epx_world_dead(boot->world, boot->members[base->rank])) {
        boot->gathering = false;
        *status_out = epx_fail(EPX_ERR_PEER_LOST, "rank %d itself has died", base->rank);
        return true;
    }
    if (!boot->gathered) {
        for (i = 0; i < base->size; i++)
            if (epx_world_known_dead(boot->world, boot->members[i])) {
                boot->gathering = false;
                *status_out = epx_fail(EPX_ERR_PEER_LOST, "rank %d was lost in set-up", i);
                return true;
            }
        return false;
    }
    boot->gathering = false;
    *status_out = EPX_OK;
    if (round->mismatch)
        *status_out = epx_fail(EPX_ERR_MISMATCH, "ranks gather different sizes, one of them %zu",
                               boot->bytes);
    else if (boot->bytes != 0)
        memcpy(boot->all, round->data, (size_t)base->size * boot->bytes);
    return true;
}

static bool sim_step(epx_boot *base)
{
    (void)base;
    return false;
}

static bool sim_hear(epx_boot *base, epx_notice *notice_out)
{
    sim_boot *boot = (sim_boot *)base;
    int32_t i;

    for (i = 0; i < INBOX; i++)
        if (boot->inbox_full[i] && boot->inbox[i].kind != 0) {
            *notice_out = boot->inbox[i];
            boot->inbox_full[i] = false;
            boot->inbox[i].kind = 0;
            return true;
        }
    for (i = 0; i < base->size; i++)
        if (!boot->reported[i] && epx_world_known_dead(boot->world, boot->members[i])) {
            boot->reported[i] = true;
            memset(notice_out, 0, sizeof(*notice_out));
            notice_out->kind = EPX_NOTICE_LOST;
            notice_out->from = base->rank;
            notice_out->rank = i;
            notice_out->status = EPX_ERR_PEER_LOST;
            return true;
        }
    return false;
}

static void deliver_notice(void *arg, uint64_t slot, uint64_t b)
{
    sim_boot *boot = arg;

    (void)b;
    boot->inbox_full[slot] = true;
}

static void sim_tell(epx_boot *base, const epx_notice *notice)
{
    sim_boot *boot = (sim_boot *)base;
    uint64_t slot;
    int32_t i;

    if (epx_world_dead(boot->world, boot->members[base->rank]))
        return;
    for (i = 0; i < base->size; i++) {
        sim_boot *other = boot->group->boots[i];

        if (other == NULL || other == boot)
            continue;
        for (slot = 0; slot < INBOX && other->inbox[slot].kind != 0; slot++)
            ;
        if (slot == INBOX)
            continue;
        other->inbox[slot] = *notice;
        epx_world_post(boot->world, boot->members[i],
                       epx_world_now(boot->world) + epx_world_delay(boot->world), deliver_notice,
                       other, slot, 0);
    }
}

static void sim_wait(epx_boot *base, uint64_t until_ns)
{
    epx_world_wait(((sim_boot *)base)->world, until_ns);
}

static void sim_close(epx_boot *base, bool graceful)
{
    sim_boot *boot = (sim_boot *)base;
    sim_group *group = boot->group;

    (void)graceful;
    epx_world_cancel(boot->world, boot);
    group->boots[base->rank] = NULL;
    if (--group->open == 0) {
        /* cannot fail: it removes */
        (void)!epx_world_share(boot->world, boot->key, NULL);
        epx_mem_free(group->rounds[0].data);
        epx_mem_free(group->rounds[1].data);
        epx_mem_free(group);
    }
    epx_mem_free(boot);
}

static const epx_boot_ops sim_ops = {
    .gather_start = sim_gather_start,
    .gather_done = sim_gather_done,
    .step = sim_step,
    .hear = sim_hear,
    .tell = sim_tell,
    .wait = sim_wait,
    .close = sim_close,
};

/* The group's shared part, made by whoever comes first. */
static epx_status find_group(epx_world *world, uint64_t key, int32_t size, sim_group **group_out)
{
    sim_group *group = epx_world_shared(world, key);
    epx_status st;

    if (group == NULL) {
        group = epx_mem_alloc("simulated boot group", 1, sizeof(*group));
        if (group == NULL)
            return EPX_ERR_NO_MEMORY;
        group->size = size;
        st = epx_world_share(world, key, group);
        if (st != EPX_OK) {
            epx_mem_free(group);
            return st;
        }
    }
    *group_out = group;
    return EPX_OK;
}

epx_status epx_sim_boot_open(epx_world *world, uint64_t group, const int32_t *members, int32_t size,
                             int32_t rank, epx_boot **boot_out)
{
    sim_boot *boot = epx_mem_alloc("simulated boot", 1, sizeof(*boot));
    epx_status st;

    if (boot == NULL)
        return EPX_ERR_NO_MEMORY;
    boot->base.ops = &sim_ops;
    boot->base.rank = rank;
    boot->base.size = size;
    boot->base.fd = -1;
    boot->world = world;
    boot->key = (UINT64_C(0xb0) << 56) | group;
    memcpy(boot->members, members, (size_t)size * sizeof(*members));
    st = find_group(world, boot->key, size, &boot->group);
    if (st != EPX_OK) {
        epx_mem_free(boot);
        return st;
    }
    boot->group->open++;
    boot->group->boots[rank] = boot;
    *boot_out = &boot->base;
    return EPX_OK;
}
