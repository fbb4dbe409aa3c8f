/* record.c - the event ring: a sequence lock per slot, in words so that no read is torn. */
#include "core/record.h"

#include <string.h>

#include "core/mem.h"

#define WORDS (sizeof(epx_event) / 8)

_Static_assert(sizeof(epx_event) % 8 == 0, "an event is copied in 8-byte words");

epx_status epx_record_init(epx_record *record, uint64_t capacity)
{
    memset(record, 0, sizeof(*record));
    if (capacity == 0)
        return EPX_OK;
    record->slots = epx_mem_alloc("event ring", capacity, sizeof(*record->slots));
    if (record->slots == NULL)
        return EPX_ERR_NO_MEMORY;
    record->capacity = capacity;
    return EPX_OK;
}

void epx_record_close(epx_record *record)
{
    epx_mem_free(record->slots);
    record->slots = NULL;
    record->capacity = 0;
}

void epx_record_add(epx_record *record, const epx_event *event)
{
    uint64_t number = atomic_load_explicit(&record->next, memory_order_relaxed);
    uint64_t words[WORDS];
    epx_record_slot *slot;
    size_t i;

    atomic_store_explicit(&record->next, number + 1, memory_order_relaxed);
    if (record->capacity == 0)
        return;
    memcpy(words, event, sizeof(words));
    slot = &record->slots[number % record->capacity];
    atomic_store_explicit(&slot->number, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* readers see 0 before any new word */
    for (i = 0; i < WORDS; i++)
        atomic_store_explicit(&slot->words[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&slot->number, number + 1, memory_order_release);
}

bool epx_record_read(const epx_record *record, uint64_t number, epx_event *event_out)
{
    const epx_record_slot *slot;
    uint64_t words[WORDS];
    size_t i;

    if (record->capacity == 0)
        return false;
    slot = &record->slots[number % record->capacity];
    if (atomic_load_explicit(&slot->number, memory_order_acquire) != number + 1)
        return false;
    for (i = 0; i < WORDS; i++)
        words[i] = atomic_load_explicit(&slot->words[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire); /* the words before the second look */
    if (atomic_load_explicit(&slot->number, memory_order_relaxed) != number + 1)
        return false;
    memcpy(event_out, words, sizeof(words));
    return true;
}

uint64_t epx_record_count(const epx_record *record)
{
    return atomic_load_explicit(&record->next, memory_order_relaxed);
}
