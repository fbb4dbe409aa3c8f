/* route.c - making routes, and asking them. */
#include "comm/route.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/structs.h"

typedef struct slot_entry {
    int32_t rank, expert, original;
    float share;
} slot_entry;

static int by_rank_expert(const void *a, const void *b)
{
    const slot_entry *x = a, *y = b;

    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->expert != y->expert)
        return x->expert < y->expert ? -1 : 1;
    return x->original < y->original ? -1 : 1;
}

static void route_free(epx_route *route)
{
    epx_mem_free(route->slot_expert);
    epx_mem_free(route->slot_rank);
    epx_mem_free(route->slot_share);
    epx_mem_free(route->rank_begin);
    epx_mem_free(route->expert_begin);
    epx_mem_free(route->expert_slots);
    epx_mem_free(route->expert_kind);
    epx_mem_free(route);
}

static epx_status check_config(const epx_route_config *cfg)
{
    if (cfg->world_size < 1)
        return epx_fail(EPX_ERR_INVALID, "route: world_size %d, expected at least 1",
                        cfg->world_size);
    if (cfg->num_experts < 1 || cfg->num_experts > EPX_MAX_EXPERTS)
        return epx_fail(EPX_ERR_INVALID, "route: %d experts, expected 1 to %d", cfg->num_experts,
                        EPX_MAX_EXPERTS);
    if (cfg->num_slots < 0 || cfg->num_slots > 1 << 20)
        return epx_fail(EPX_ERR_INVALID, "route: %d slots, expected 0 to %d", cfg->num_slots,
                        1 << 20);
    if (cfg->num_slots > 0 && (cfg->slot_expert == NULL || cfg->slot_rank == NULL))
        return epx_fail(EPX_ERR_INVALID, "route: %d slots without slot_expert and slot_rank",
                        cfg->num_slots);
    return EPX_OK;
}

static epx_status check_slots(const epx_route_config *cfg)
{
    int32_t i;

    for (i = 0; i < cfg->num_slots; i++) {
        if (cfg->slot_expert[i] < 0 || cfg->slot_expert[i] >= cfg->num_experts)
            return epx_fail(EPX_ERR_INVALID, "route: slot %d holds expert %d of %d", i,
                            cfg->slot_expert[i], cfg->num_experts);
        if (cfg->slot_rank[i] < 0 || cfg->slot_rank[i] >= cfg->world_size)
            return epx_fail(EPX_ERR_INVALID, "route: slot %d is on rank %d of %d", i,
                            cfg->slot_rank[i], cfg->world_size);
        if (cfg->slot_share != NULL && !(cfg->slot_share[i] >= 0 && isfinite(cfg->slot_share[i])))
            return epx_fail(EPX_ERR_INVALID, "route: slot %d has share %g", i,
                            (double)cfg->slot_share[i]);
    }
    return EPX_OK;
}

static epx_status allocate(const epx_route_config *cfg, int32_t num_slots, epx_route **route_out)
{
    epx_route *route = epx_mem_alloc("route", 1, sizeof(*route));
    size_t slots = (size_t)num_slots, experts = (size_t)cfg->num_experts;

    if (route == NULL)
        return EPX_ERR_NO_MEMORY;
    route->slot_expert = epx_mem_alloc("route slots", slots, sizeof(int32_t));
    route->slot_rank = epx_mem_alloc("route slots", slots, sizeof(int32_t));
    route->slot_share = epx_mem_alloc("route shares", slots, sizeof(float));
    route->expert_slots = epx_mem_alloc("route slots", slots, sizeof(int32_t));
    route->rank_begin = epx_mem_alloc("route ranks", (size_t)cfg->world_size + 1, sizeof(int32_t));
    route->expert_begin = epx_mem_alloc("route experts", experts + 1, sizeof(int32_t));
    route->expert_kind = epx_mem_alloc("route experts", experts, sizeof(uint8_t));
    if (route->slot_expert == NULL || route->slot_rank == NULL || route->slot_share == NULL ||
        route->expert_slots == NULL || route->rank_begin == NULL || route->expert_begin == NULL ||
        route->expert_kind == NULL) {
        route_free(route);
        return EPX_ERR_NO_MEMORY;
    }
    route->world_size = cfg->world_size;
    route->num_experts = cfg->num_experts;
    route->num_slots = num_slots;
    route->epoch = cfg->epoch;
    *route_out = route;
    return EPX_OK;
}

static void fill_entries(const epx_route_config *cfg, int32_t num_slots, slot_entry *entries)
{
    int32_t i;

    for (i = 0; i < num_slots; i++) {
        entries[i].original = i;
        entries[i].share = cfg->slot_share != NULL && cfg->num_slots != 0 ? cfg->slot_share[i] : 1;
        if (cfg->num_slots != 0) {
            entries[i].expert = cfg->slot_expert[i];
            entries[i].rank = cfg->slot_rank[i];
        } else { /* blocks: uneven ones differ by one expert */
            entries[i].expert = i;
            entries[i].rank = (int32_t)((int64_t)i * cfg->world_size / cfg->num_experts);
        }
    }
    qsort(entries, (size_t)num_slots, sizeof(*entries), by_rank_expert);
}

static epx_status index_slots(epx_route *route, const slot_entry *entries)
{
    int32_t i, rank = 0, e, *fill = route->expert_begin;

    for (i = 0; i < route->num_slots; i++) {
        if (i > 0 && entries[i].rank == entries[i - 1].rank &&
            entries[i].expert == entries[i - 1].expert)
            return epx_fail(EPX_ERR_INVALID, "route: rank %d holds expert %d twice",
                            entries[i].rank, entries[i].expert);
        for (; rank <= entries[i].rank; rank++)
            route->rank_begin[rank] = i;
        route->slot_expert[i] = entries[i].expert;
        route->slot_rank[i] = entries[i].rank;
        route->slot_share[i] = entries[i].share;
        fill[entries[i].expert + 1]++;
    }
    for (; rank <= route->world_size; rank++)
        route->rank_begin[rank] = route->num_slots;
    for (e = 0; e < route->num_experts; e++) {
        if (fill[e + 1] == 0)
            return epx_fail(EPX_ERR_INVALID, "route: expert %d has no slot", e);
        fill[e + 1] += fill[e];
    }
    for (i = route->num_slots - 1; i >= 0; i--) /* from the back: counts become positions */
        route->expert_slots[--fill[route->slot_expert[i] + 1]] = i;
    for (e = 0; e < route->num_experts; e++)
        fill[e] = fill[e + 1];
    fill[route->num_experts] = route->num_slots;
    return EPX_OK;
}

static epx_status finish_experts(epx_route *route, const epx_route_config *cfg)
{
    int32_t e, j, count;

    route->max_shards = 1;
    for (e = 0; e < route->num_experts; e++) {
        double sum = 0;

        count = route->expert_begin[e + 1] - route->expert_begin[e];
        route->expert_kind[e] = cfg->expert_kind != NULL ? cfg->expert_kind[e] : EPX_ROUTE_REPLICAS;
        if (route->expert_kind[e] > EPX_ROUTE_SHARDS)
            return epx_fail(EPX_ERR_INVALID, "route: expert %d is of kind %u", e,
                            route->expert_kind[e]);
        if (route->expert_kind[e] == EPX_ROUTE_SHARDS && count > EPX_MAX_SHARDS)
            return epx_fail(EPX_ERR_UNSUPPORTED, "route: expert %d has %d shards, at most %d", e,
                            count, EPX_MAX_SHARDS);
        if (route->expert_kind[e] == EPX_ROUTE_SHARDS && count > route->max_shards)
            route->max_shards = count;
        for (j = route->expert_begin[e]; j < route->expert_begin[e + 1]; j++)
            sum += (double)route->slot_share[route->expert_slots[j]];
        for (j = route->expert_begin[e]; j < route->expert_begin[e + 1]; j++) {
            float *share = &route->slot_share[route->expert_slots[j]];

            *share = sum > 0 ? (float)((double)*share / sum) : 1.0f / (float)count;
        }
    }
    return EPX_OK;
}

epx_status epx_route_create(const epx_route_config *user, epx_route **route_out)
{
    epx_route_config cfg;
    slot_entry *entries;
    epx_route *route;
    int32_t num_slots;
    epx_status st;

    if (route_out == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_route_create: route_out is NULL");
    st = epx_struct_read("epx_route_config", user, &cfg, sizeof(cfg));
    if (st == EPX_OK)
        st = check_config(&cfg);
    if (st == EPX_OK)
        st = check_slots(&cfg);
    if (st != EPX_OK)
        return st;
    num_slots = cfg.num_slots != 0 ? cfg.num_slots : cfg.num_experts;
    entries = epx_mem_alloc("route entries", (size_t)num_slots, sizeof(*entries));
    if (entries == NULL)
        return EPX_ERR_NO_MEMORY;
    fill_entries(&cfg, num_slots, entries);
    st = allocate(&cfg, num_slots, &route);
    if (st != EPX_OK)
        goto err_entries;
    st = index_slots(route, entries);
    if (st == EPX_OK)
        st = finish_experts(route, &cfg);
    if (st != EPX_OK)
        goto err_route;
    epx_mem_free(entries);
    atomic_store(&route->refs, 1);
    *route_out = route;
    return EPX_OK;

err_route:
    route_free(route);
err_entries:
    epx_mem_free(entries);
    return st;
}

/* A route is immutable but for its count of references. */
static epx_route *counted(const epx_route *route)
{
    return (epx_route *)(uintptr_t)route;
}

void epx_route_retain(const epx_route *route)
{
    atomic_fetch_add(&counted(route)->refs, 1);
}

void epx_route_drop(const epx_route *route)
{
    if (route != NULL && atomic_fetch_sub(&counted(route)->refs, 1) == 1)
        route_free(counted(route));
}

void epx_route_destroy(epx_route *route)
{
    epx_route_drop(route);
}

int32_t epx_route_num_slots(const epx_route *route, int32_t rank)
{
    if (rank == -1)
        return route->num_slots;
    if (rank < 0 || rank >= route->world_size)
        return 0;
    return route->rank_begin[rank + 1] - route->rank_begin[rank];
}

int32_t epx_route_expert(const epx_route *route, int32_t rank, int32_t local_slot)
{
    if (rank < 0 || rank >= route->world_size || local_slot < 0 ||
        local_slot >= epx_route_num_slots(route, rank))
        return -1;
    return route->slot_expert[route->rank_begin[rank] + local_slot];
}

uint64_t epx_route_epoch(const epx_route *route)
{
    return route->epoch;
}

/* Picks by share among the slots that `fits` accepts, walking u in [0, 1) of their sum. The golden
 * ratio's multiples spread tokens evenly over any prefix. */
static int32_t pick_by_share(const epx_route *route, int32_t expert, int32_t node,
                             const int32_t *node_of, uint64_t token)
{
    uint64_t spread = token * UINT64_C(0x9e3779b97f4a7c15);
    double u = (double)(spread >> 11) * 0x1.0p-53, sum = 0, walked = 0;
    int32_t j, last = -1;

    for (j = route->expert_begin[expert]; j < route->expert_begin[expert + 1]; j++) {
        int32_t slot = route->expert_slots[j];

        if (node < 0 || node_of[route->slot_rank[slot]] == node)
            sum += (double)route->slot_share[slot];
    }
    for (j = route->expert_begin[expert]; j < route->expert_begin[expert + 1]; j++) {
        int32_t slot = route->expert_slots[j];

        if (node >= 0 && node_of[route->slot_rank[slot]] != node)
            continue;
        last = slot;
        walked += (double)route->slot_share[slot];
        if (u * sum < walked)
            break;
    }
    return last;
}

int32_t epx_route_slots(const epx_route *route, int32_t expert, int32_t rank,
                        const int32_t *node_of, uint64_t token, int32_t *slots_out)
{
    int32_t begin = route->expert_begin[expert], end = route->expert_begin[expert + 1], j;

    if (route->expert_kind[expert] == EPX_ROUTE_SHARDS) {
        for (j = begin; j < end; j++)
            slots_out[j - begin] = route->expert_slots[j];
        return end - begin;
    }
    slots_out[0] = route->expert_slots[begin];
    if (end - begin == 1)
        return 1;
    for (j = begin; j < end; j++)
        if (route->slot_rank[route->expert_slots[j]] == rank) {
            slots_out[0] = route->expert_slots[j];
            return 1;
        }
    slots_out[0] = pick_by_share(route, expert, node_of[rank], node_of, token);
    if (slots_out[0] < 0)
        slots_out[0] = pick_by_share(route, expert, -1, node_of, token);
    return 1;
}
