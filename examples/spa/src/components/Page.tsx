import { useEffect, useRef, type ReactNode } from 'react'
import { useLocation } from 'react-router'

let shown = window.location.pathname

/** A page with its heading, which gets the focus after a change of page: screen readers say where one is. */
export function Page({ title, children }: { title: string; children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null)
  const { pathname } = useLocation()
  useEffect(() => {
    if (pathname !== shown) heading.current?.focus()
    shown = pathname
  }, [pathname])
  useEffect(() => {
    document.title = `${title} · Vivarium`
  }, [title])
  return (
    <>
      <h1 ref={heading} tabIndex={-1}>
        {title}
      </h1>
      {children}
    </>
  )
}
