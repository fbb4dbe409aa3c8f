/* job.h - what forked ranks inherit: a listener for rank 0, where it listens, and the job key.
 *
 * The listener stays open until every holder has destroyed its copy, so a job may be used for more
 * than one epx_comm_create(), one after the other. */
#ifndef EPX_COMM_BOOT_JOB_H
#define EPX_COMM_BOOT_JOB_H

#include "comm/boot/addr.h"
#include "comm/boot/boot.h"

struct epx_job {
    uint64_t magic; /* EPX_JOB_MAGIC while it lives */
    int32_t world_size;
    int listen_fd; /* owns */
    epx_addr address;
    uint8_t key[EPX_KEY_BYTES];
};

#define EPX_JOB_MAGIC UINT64_C(0x6a6f62207065706f)

#endif /* EPX_COMM_BOOT_JOB_H */
