/* user.c - a program outside the tree: a world of one, and a failure told in words. */
#include <stdio.h>
#include <string.h>

#include <epx/epx.h>

int main(void)
{
    epx_comm_config cfg;
    epx_comm *comm = NULL;

    if (epx_version() != EPX_VERSION) {
        printf("header %u, library %u\n", (unsigned)EPX_VERSION, (unsigned)epx_version());
        return 1;
    }
    memset(&cfg, 0, sizeof(cfg));
    cfg.struct_size = sizeof(cfg);
    cfg.world_size = -1;
    if (epx_comm_create(&cfg, &comm) != EPX_ERR_INVALID || comm != NULL) {
        printf("a world of -1 was not refused\n");
        return 1;
    }
    printf("epx %u: %s\n", (unsigned)epx_version(), epx_last_error());
    return 0;
}
