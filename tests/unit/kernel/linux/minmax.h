/* SPDX-License-Identifier: MIT */
/* Smaller, larger, between. */
#ifndef STANDIN_MINMAX_H
#define STANDIN_MINMAX_H

#define min(a, b)	({ __auto_type a_ = (a); __auto_type b_ = (b); a_ < b_ ? a_ : b_; })
#define max(a, b)	({ __auto_type a_ = (a); __auto_type b_ = (b); a_ > b_ ? a_ : b_; })
#define min_t(type, a, b) ({ type at_ = (a); type bt_ = (b); at_ < bt_ ? at_ : bt_; })
#define max_t(type, a, b) ({ type at_ = (a); type bt_ = (b); at_ > bt_ ? at_ : bt_; })
#define min3(a, b, c)	({ __auto_type m_ = min(a, b); __auto_type c_ = (c); m_ < c_ ? m_ : c_; })
#define clamp(x, low, high) ({ __auto_type l_ = max(x, low); __auto_type h_ = (high); \
			       l_ < h_ ? l_ : h_; })
#define clamp_t(type, x, low, high) clamp((type)(x), (type)(low), (type)(high))

#endif
