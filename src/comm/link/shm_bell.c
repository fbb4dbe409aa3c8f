/* shm_bell.c - the doorbell: a sleeping member is woken, one that is awake costs no system call.
 *
 * A ringer first grows `bell`, then looks at `sleeping`. A sleeper first sets `sleeping`, then
 * looks at `bell`. All four accesses are sequentially consistent, so in their single order at least
 * one of the two sees the other's write: either the ringer writes the eventfd or the sleeper finds
 * that the bell has moved. No wake-up is lost. */
#include <unistd.h>

#include "comm/link/shm_link.h"

void epx_shm_ring_bell(epx_shm_member *member)
{
    const uint64_t one = 1;
    epx_shm_control *control = member->control;

    if (member->failed)
        return;
    /* Releases the data that the caller has just stored: pairs with the loads of `bell` in
     * progress() and arm(). */
    atomic_fetch_add(&control->bell, 1);
    /* Of several ringers one takes the word and writes. A failed write means that the counter is
     * full: its owner will wake. */
    if (atomic_load(&control->sleeping) != 0 && atomic_exchange(&control->sleeping, 0) != 0)
        if (write(member->bell_fd, &one, sizeof(one)) < 0)
            return;
}

bool epx_shm_progress(epx_link *link)
{
    epx_shm *shm = epx_shm_of(link);
    uint32_t before = shm->seen;

    /* Acquire: what was stored before this ring is visible to the scan that follows. */
    shm->seen = atomic_load_explicit(&epx_shm_self(shm)->control->bell, memory_order_acquire);
    return shm->seen != before;
}

bool epx_shm_arm(epx_link *link)
{
    epx_shm *shm = epx_shm_of(link);
    epx_shm_control *control = epx_shm_self(shm)->control;

    atomic_store(&control->sleeping, 1);
    return atomic_load(&control->bell) == shm->seen;
}

void epx_shm_woken(epx_link *link)
{
    epx_shm *shm = epx_shm_of(link);
    epx_shm_member *self = epx_shm_self(shm);
    uint64_t rings;

    /* If the word is still ours, nobody has written to the eventfd or will. Otherwise a ringer has
     * taken it and writes once, perhaps later than now: then a later call reads it. */
    if (atomic_exchange(&self->control->sleeping, 0) == 0)
        shm->owed++;
    if (shm->owed > 0 && read(self->bell_fd, &rings, sizeof(rings)) == sizeof(rings))
        shm->owed -= (int64_t)rings;
    shm->checked_ns = 0; /* perhaps it was a socket that woke us */
}
