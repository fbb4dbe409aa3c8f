/* route.h - where experts live: an immutable table expert -> slots, with an epoch.
 *
 * A slot is a physical place for one expert's weights on one rank. Several slots of one expert are
 * replicas (one of them takes the token) or shards (each of them takes it; combine adds their
 * outputs in slot order, as in expert tensor parallelism). On each rank slots are numbered by
 * ascending (expert, shard): the local slot index used by kernels and by epx_handle_counts(). */
#ifndef EPX_ROUTE_H
#define EPX_ROUTE_H

#include <stddef.h>
#include <stdint.h>

#include <epx/status.h>

EPX_BEGIN_DECLS

#define EPX_MAX_EXPERTS 4096
#define EPX_MAX_TOPK 32
#define EPX_MAX_SHARDS 8

typedef enum epx_route_kind { EPX_ROUTE_REPLICAS, EPX_ROUTE_SHARDS } epx_route_kind;

typedef struct epx_route_config {
    size_t struct_size;
    int32_t world_size;
    int32_t num_experts;
    int32_t num_slots;          /* 0: one slot per expert, in blocks over the ranks */
    const int32_t *slot_expert; /* [num_slots] */
    const int32_t *slot_rank;   /* [num_slots] */
    const uint8_t *expert_kind; /* [num_experts] epx_route_kind, NULL: replicas */
    const float *slot_share;    /* [num_slots] share of the expert's tokens, NULL: equal */
    uint64_t epoch;
} epx_route_config;

typedef struct epx_route epx_route;

/* Local; equal input gives equal routes on every rank. Copies the arrays. Every expert needs a
 * slot, a rank holds an expert at most once. Reference counted: destroy drops the caller's. */
EPX_NODISCARD EPX_API epx_status epx_route_create(const epx_route_config *cfg,
                                                  epx_route **route_out);
EPX_API void epx_route_destroy(epx_route *route);

EPX_API int32_t epx_route_num_slots(const epx_route *route, int32_t rank); /* -1: all ranks */
/* The expert in a local slot of a rank, or -1 when there is no such slot. */
EPX_API int32_t epx_route_expert(const epx_route *route, int32_t rank, int32_t local_slot);
EPX_API uint64_t epx_route_epoch(const epx_route *route);

EPX_END_DECLS

#endif /* EPX_ROUTE_H */
