/* SPDX-License-Identifier: MIT */
#ifndef GUEST_CLASSIC_LIFE_H
#define GUEST_CLASSIC_LIFE_H

void case_names(void);
void case_unplug(void);
void case_suspend(void);

#endif
