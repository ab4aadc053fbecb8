import { Component, type ReactNode } from 'react'
import { problemOf } from '../http/client'
import { Empty } from './panel'

/** A page that fails to draw says so in its place; the rail and the other pages go on. */
export class PageBoundary extends Component<{ children: ReactNode }, { problem: string | null }> {
  override state = { problem: null }

  static getDerivedStateFromError(error: unknown) {
    return { problem: problemOf(error) }
  }

  override render() {
    if (this.state.problem === null) return this.props.children
    return (
      <Empty title="This page could not be drawn" command={this.state.problem}>
        That is a fault of the dashboard; the server is not touched by it. Reloading may help.
      </Empty>
    )
  }
}
