/* launcher.h - who started this process: which rank it is, and how it finds rank 0.
 *
 * What the caller says wins over torchrun's variables, those over PMIx, Slurm and Open MPI's. With
 * none of them the process is a world of one. Reads cfg and the environment, does no I/O. */
#ifndef EPX_COMM_BOOT_LAUNCHER_H
#define EPX_COMM_BOOT_LAUNCHER_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/boot/boot.h"

#define EPX_MAX_RANKS 65536
#define EPX_LAUNCH_PORTS 16 /* tried when the launcher's own port is taken */

typedef enum epx_meet {
    EPX_MEET_ALONE,
    EPX_MEET_JOB,      /* rank 0 inherited its listener, the others its address */
    EPX_MEET_CALLBACK, /* the caller's allgather carries rank 0's address */
    EPX_MEET_PMIX,     /* PMIx carries it */
    EPX_MEET_ADDRESS   /* host is known, and a range of ports */
} epx_meet;

typedef struct epx_launch {
    char name[32];
    epx_meet meet;
    int32_t rank;
    int32_t size; /* with PMIx 0: it tells when asked */
    char host[256];
    uint16_t port; /* the first of num_ports */
    int num_ports;
    char identity[160]; /* tells two jobs apart */
} epx_launch;

/* with_pmix: PMIx can be used, should the environment speak of it. */
EPX_NODISCARD epx_status epx_launch_detect(const epx_comm_config *cfg, bool with_pmix,
                                           epx_launch *launch_out);

/* The environment speaks of PMIx. */
bool epx_launch_has_pmix(void);

#endif /* EPX_COMM_BOOT_LAUNCHER_H */
