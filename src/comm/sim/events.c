/* events.c - a binary heap. */
#include "comm/sim/events.h"

#include <string.h>

#include "core/mem.h"

static bool earlier(const epx_sim_event *a, const epx_sim_event *b)
{
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static bool make_room(epx_sim_events *events)
{
    size_t capacity = events->capacity == 0 ? 256 : 2 * events->capacity;
    epx_sim_event *heap;

    if (events->count < events->capacity)
        return true;
    heap = epx_mem_alloc("simulated events", capacity, sizeof(*heap));
    if (heap == NULL)
        return false;
    if (events->count != 0)
        memcpy(heap, events->heap, events->count * sizeof(*heap));
    epx_mem_free(events->heap);
    events->heap = heap;
    events->capacity = capacity;
    return true;
}

bool epx_sim_events_add(epx_sim_events *events, epx_sim_event event)
{
    size_t i;

    if (!make_room(events))
        return false;
    event.number = events->posted++;
    for (i = events->count++; i > 0 && earlier(&event, &events->heap[(i - 1) / 2]); i = (i - 1) / 2)
        events->heap[i] = events->heap[(i - 1) / 2];
    events->heap[i] = event;
    return true;
}

bool epx_sim_events_peek(const epx_sim_events *events, uint64_t *at_out)
{
    if (events->count == 0)
        return false;
    *at_out = events->heap[0].at;
    return true;
}

void epx_sim_events_pop(epx_sim_events *events, epx_sim_event *event_out)
{
    epx_sim_event last = events->heap[--events->count];
    size_t i = 0, child;

    *event_out = events->heap[0];
    for (; (child = 2 * i + 1) < events->count; i = child) {
        if (child + 1 < events->count && earlier(&events->heap[child + 1], &events->heap[child]))
            child++;
        if (!earlier(&events->heap[child], &last))
            break;
        events->heap[i] = events->heap[child];
    }
    if (events->count != 0)
        events->heap[i] = last;
}

void epx_sim_events_cancel(epx_sim_events *events, const void *arg)
{
    size_t i;

    for (i = 0; i < events->count; i++)
        if (events->heap[i].arg == arg)
            events->heap[i].deliver = NULL;
}

void epx_sim_events_close(epx_sim_events *events)
{
    epx_mem_free(events->heap);
    memset(events, 0, sizeof(*events));
}
