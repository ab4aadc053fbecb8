// What the examples send to each other.

export interface MailJob {
  to: string;
  subject: string;
}

export interface AuditEvent {
  type: 'login' | 'logout';
  user: string;
  at: string;
}

export interface ChatLine {
  from: string;
  text: string;
}
