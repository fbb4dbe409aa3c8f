/* record.h - what a communicator did lately: a ring of events, and counters that only grow.
 *
 * One writer (the owner of the engine), readers of any thread see whole events or none: each slot
 * carries the number of its event, written last. No lock, no allocation after init. */
#ifndef EPX_CORE_RECORD_H
#define EPX_CORE_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/fail.h"

typedef enum epx_event_kind {
    EPX_EVENT_DISPATCH_START,
    EPX_EVENT_DISPATCH_DONE,
    EPX_EVENT_COMBINE_START,
    EPX_EVENT_COMBINE_DONE,
    EPX_EVENT_FAULT
} epx_event_kind;

typedef struct epx_event {
    uint64_t time_ns;
    uint32_t kind; /* epx_event_kind */
    int32_t peer;  /* rank, or -1 */
    uint64_t sequence;
    uint64_t value; /* bytes, rows or a status, by kind */
} epx_event;

typedef struct epx_record_slot {
    atomic_uint_fast64_t number; /* 1 + the event's number, 0 while it is written */
    atomic_uint_fast64_t words[sizeof(epx_event) / 8];
} epx_record_slot;

typedef enum epx_counter {
    EPX_COUNT_NEAR_BYTES, /* written to or read from peers of the node */
    EPX_COUNT_FAR_BYTES,  /* payload and metadata put to other nodes */
    EPX_COUNT_CHUNKS,
    EPX_COUNT_SLEEPS,
    EPX_COUNT_FAULTS,
    EPX_COUNTERS
} epx_counter;

typedef struct epx_record {
    epx_record_slot *slots; /* owns; NULL when capacity is 0 */
    uint64_t capacity;
    atomic_uint_fast64_t next;
    atomic_uint_fast64_t counters[EPX_COUNTERS];
} epx_record;

EPX_NODISCARD epx_status epx_record_init(epx_record *record, uint64_t capacity);
void epx_record_close(epx_record *record);

void epx_record_add(epx_record *record, const epx_event *event);
/* The event with that number, if the ring still holds it. Any thread. */
bool epx_record_read(const epx_record *record, uint64_t number, epx_event *event_out);
/* How many events were ever added. Any thread. */
uint64_t epx_record_count(const epx_record *record);

static inline void epx_record_grow(epx_record *record, epx_counter counter, uint64_t by)
{
    atomic_fetch_add_explicit(&record->counters[counter], by, memory_order_relaxed);
}

static inline uint64_t epx_record_total(const epx_record *record, epx_counter counter)
{
    return atomic_load_explicit(&record->counters[counter], memory_order_relaxed);
}

#endif /* EPX_CORE_RECORD_H */
