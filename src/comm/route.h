/* route.h - the inside of a route: expert -> slots, slot -> rank. Immutable once made. */
#ifndef EPX_COMM_ROUTE_H
#define EPX_COMM_ROUTE_H

#include <stdatomic.h>

#include <epx/route.h>

struct epx_route {
    atomic_int refs;
    int32_t world_size;
    int32_t num_experts;
    int32_t num_slots;
    int32_t max_shards; /* most slots that one (token, expert) pair goes to */
    uint64_t epoch;
    /* Slots are ordered by (rank, expert). */
    int32_t *slot_expert;  /* [num_slots] owns, as all below */
    int32_t *slot_rank;    /* [num_slots] */
    float *slot_share;     /* [num_slots] the replicas of an expert sum to 1 */
    int32_t *rank_begin;   /* [world_size + 1] first slot of each rank */
    int32_t *expert_begin; /* [num_experts + 1] into expert_slots */
    int32_t *expert_slots; /* [num_slots] slots of each expert, ascending */
    uint8_t *expert_kind;  /* [num_experts] epx_route_kind */
};

void epx_route_retain(const epx_route *route);
void epx_route_drop(const epx_route *route);

/* Which slots token `token` of rank `rank` uses for expert: a replica on the own rank, else one on
 * the own node (same_node[rank]: true for its ranks), else one by share; or all shards.
 * slots_out[EPX_MAX_SHARDS]; returns how many. */
int32_t epx_route_slots(const epx_route *route, int32_t expert, int32_t rank,
                        const int32_t *node_of, uint64_t token, int32_t *slots_out);

#endif /* EPX_COMM_ROUTE_H */
