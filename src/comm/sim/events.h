/* events.h - the future of a simulated machine: a heap of events ordered by (time, number). */
#ifndef EPX_COMM_SIM_EVENTS_H
#define EPX_COMM_SIM_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/fail.h"

typedef struct epx_sim_event {
    uint64_t at;     /* virtual time */
    uint64_t number; /* of posting: equal times keep their order */
    int32_t to;      /* rank that becomes runnable */
    void (*deliver)(void *arg, uint64_t a, uint64_t b); /* NULL: only wakes */
    void *arg;
    uint64_t a, b;
} epx_sim_event;

typedef struct epx_sim_events {
    epx_sim_event *heap; /* owns */
    size_t count, capacity;
    uint64_t posted;
} epx_sim_events;

bool epx_sim_events_add(epx_sim_events *events, epx_sim_event event); /* false: no memory */
/* Earliest event; false when there is none. */
bool epx_sim_events_peek(const epx_sim_events *events, uint64_t *at_out);
void epx_sim_events_pop(epx_sim_events *events, epx_sim_event *event_out);
/* Events to `arg` deliver nothing from now on. */
void epx_sim_events_cancel(epx_sim_events *events, const void *arg);
void epx_sim_events_close(epx_sim_events *events);

#endif /* EPX_COMM_SIM_EVENTS_H */
