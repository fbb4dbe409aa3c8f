/* job.c - making a job in the parent, before it forks. */
#include "comm/boot/job.h"

#include <unistd.h>

#include "comm/boot/auth.h"
#include "comm/boot/iface.h"
#include "comm/boot/launcher.h"
#include "core/mem.h"

static epx_status listen_for_job(const char *interface, epx_job *job)
{
    epx_addr address;
    bool in_use;
    epx_status st = interface != NULL && interface[0] != '\0'
                        ? epx_iface_address(interface, AF_UNSPEC, &address)
                        : epx_iface_loopback(&address);

    if (st != EPX_OK)
        return st;
    epx_addr_set_port(&address, 0);
    st = epx_addr_listen(&address, &job->listen_fd, &in_use);
    if (st != EPX_OK)
        return st;
    st = epx_addr_of_socket(job->listen_fd, &job->address);
    if (st != EPX_OK)
        close(job->listen_fd);
    return st;
}

epx_status epx_job_create(int32_t world_size, const char *interface, epx_job **job_out)
{
    epx_status st;
    epx_job *job;

    if (job_out == NULL || world_size < 1 || world_size > EPX_MAX_RANKS)
        return epx_fail(EPX_ERR_INVALID, "epx_job_create: world size %d, expected 1 to %d",
                        world_size, EPX_MAX_RANKS);
    st = epx_auth_init();
    if (st != EPX_OK)
        return st;
    job = epx_mem_alloc("job", 1, sizeof(*job));
    if (job == NULL)
        return EPX_ERR_NO_MEMORY;
    st = listen_for_job(interface, job);
    if (st != EPX_OK) {
        epx_mem_free(job);
        return st;
    }
    job->magic = EPX_JOB_MAGIC;
    job->world_size = world_size;
    epx_auth_random(job->key, sizeof(job->key));
    *job_out = job;
    return EPX_OK;
}

void epx_job_destroy(epx_job *job)
{
    if (job == NULL || job->magic != EPX_JOB_MAGIC)
        return;
    close(job->listen_fd);
    epx_auth_wipe(job, sizeof(*job));
    epx_mem_free(job);
}
